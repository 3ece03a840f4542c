// mpirun of Open MPI follows SIGTERM by SIGKILL, within a second or, with odls_base_sigkill_timeout, after sleeping all of the
// time given, and forwards SIGUSR1 without a limit; so does MPICH's mpiexec.
#include "trainer/ranks/launch_ranks.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include "trainer/ranks/open_ranks.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

namespace {

MpiKind kind_of_launcher(const std::string& program) {
  try {
    const ProcessOutput version = capture_process({program, "--version"});
    for (const char* name : {"Open MPI", "OpenRTE"})
      if (version.out.find(name) != std::string::npos) return MpiKind::open_mpi;
    if (version.out.find("HYDRA") != std::string::npos) return MpiKind::mpich;
  } catch (const ProcessError&) {  // it is not installed
  }
  return MpiKind::none;
}

LauncherSurroundings find_surroundings(const RanksRequest& request) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(0, sizeof(cpus), &cpus);
  for (const char* program : {"mpirun.openmpi", "mpirun", "mpiexec.mpich", "mpiexec.hydra"}) {
    const MpiKind mpi = kind_of_launcher(program);
    if (mpi != MpiKind::none && !find_plugin(mpi, request.executable).empty())
      return {mpi, program, CPU_COUNT(&cpus), geteuid() == 0};
  }
  throw UsageError(fmt::format(
      "--ranks {} needs an mpirun, and the part of this program that was built with its MPI: install "
      "openmpi-bin and libopenmpi-dev (or mpich and libmpich-dev) and build again, an image with "
      "scripts/build_image.sh --ranks",
      request.ranks));
}

}  // namespace

std::vector<std::string> launcher_words(const RanksRequest& request,
                                        const LauncherSurroundings& surroundings) {
  std::vector<std::string> words{surroundings.program};
  const auto add = [&words](std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (surroundings.mpi == MpiKind::open_mpi) {
    if (surroundings.is_root) add({"--allow-run-as-root"});
    // Its slots are cores, of which there are at least half as many as CPUs.
    if (2 * request.ranks > surroundings.cpus) add({"--oversubscribe"});
    if (request.ranks > surroundings.cpus) add({"--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"});
  }
  add({"-n"});
  words.push_back(std::to_string(request.ranks));
  words.push_back(request.executable.string());
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  return words;
}

int status_of_ranks(int launcher_status, int stop_signal) {
  if (launcher_status == 128 + SIGTERM && stop_signal != 0) return 128 + stop_signal;
  // MPICH's mpiexec gives the bare number; its UCX aborts a rank that was reading a killed one's memory, and it ends the others.
  for (const int lost : {SIGKILL, SIGABRT, SIGTERM, 128 + SIGKILL, 128 + SIGABRT})
    if (launcher_status == lost) return kRankLostStatus;
  return launcher_status;
}

int launch_ranks(const RanksRequest& request) {
  const LauncherSurroundings surroundings = find_surroundings(request);
  std::vector<std::string> words = launcher_words(request, surroundings);
  std::fputs(fmt::format("starting {} ranks: {}\n", request.ranks, fmt::join(words, " ")).c_str(), stderr);
  if (request.ranks > surroundings.cpus)
    std::fputs(fmt::format("note: {} ranks share {} CPUs, so a rank that waits yields its CPU\n",
                           request.ranks, surroundings.cpus)
                   .c_str(),
               stderr);
  sigset_t requests;
  sigset_t former;
  sigemptyset(&requests);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&requests, signal);
  pthread_sigmask(SIG_BLOCK, &requests, &former);
  // If this process is killed, the launcher gets SIGTERM, and ends the ranks: mpirun alone would let them train on.
  constexpr std::array kEndsWithThis{"/usr/bin/setpriv", "--pdeathsig", "TERM", "--"};
  if (access(kEndsWithThis[0], X_OK) == 0)
    words.insert(words.begin(), kEndsWithThis.begin(), kEndsWithThis.end());
  Process launcher({.words = words, .own_group = true});
  constexpr std::array kForwarded{SIGUSR1, SIGTERM, SIGKILL};
  std::size_t received = 0;
  int stop_signal = 0;
  while (launcher.pump()) {
    const timespec no_time{};
    const int signal = sigtimedwait(&requests, nullptr, &no_time);
    if (signal <= 0) continue;
    if (stop_signal == 0) stop_signal = signal;
    launcher.send(kForwarded[std::min(received++, kForwarded.size() - 1)]);
  }
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  return status_of_ranks(launcher.end().code, stop_signal);
}

}  // namespace trainer
