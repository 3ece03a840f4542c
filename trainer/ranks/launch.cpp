// mpirun of Open MPI follows SIGTERM by SIGKILL, within a second or, with odls_base_sigkill_timeout, after sleeping all of the
// time given, and forwards SIGUSR1 without a limit; so does MPICH's mpiexec.
//   The plugin of the MPI that started this process is opened by dlopen and never closed. Ranks of one host see in /proc/net/unix who of
// them has come as far as here, so that those who wait in MPI_Init can say who is missing.
#include "trainer/ranks/launch.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <iterator>
#include <sched.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "trainer/ranks/watchdog.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

struct Launcher {
  MpiKind mpi;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

// PMIx does not say the size; SLURM_NTASKS is set in the shell of sbatch too, where there is one process.
constexpr std::array kLaunchers{
    Launcher{MpiKind::open_mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
             "OMPI_COMM_WORLD_LOCAL_SIZE"},
    Launcher{MpiKind::open_mpi, "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""},
    Launcher{MpiKind::mpich, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    Launcher{MpiKind::mpich, "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
             "MV2_COMM_WORLD_LOCAL_SIZE"},
    Launcher{MpiKind::none, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""}};

// -1: not set, or not a number.
int number_of(const Variables& variables, const char* name) {
  const char* value = variables(name);
  if (value == nullptr) return -1;
  const std::string_view text = value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

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

// Open MPI without one rank's reading of another one's memory: containers forbid it, and if the other has been killed, the first one
// waits for ever. Values of the user's come first. (UCX, which MPICH uses, must keep it: without it MPI_Finalize sometimes hangs.)
constexpr std::array<std::pair<const char*, const char*>, 2> kSettings{
    {{"OMPI_MCA_btl_vader_single_copy_mechanism", "none"}, {"OMPI_MCA_smsc", "^cma"}}};

// An abstract socket, which ends with its process, that tells the other ranks of this host that this one is here.
class Presence {
 public:
  explicit Presence(const Launch& launch)
      : launch_(launch), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const std::string own = name(launch.local_rank);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, own.data(), std::min(own.size(), sizeof(address.sun_path) - 1));
    // Without it the others only say less.
    static_cast<void>(::bind(socket_.number(), reinterpret_cast<const sockaddr*>(&address),
                             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + own.size())));
  }

  // The line of error for a rank that has waited for too long; empty if a lower rank of this host prints it.
  std::string what_is_missing(double seconds) const {
    if (launch_.local_size == 0 && launch_.rank > 0) return {};  // srun does not say how many there are
    if (launch_.local_size == 0)
      return fmt::format("MPI has not started within {:g} s: a rank is missing", seconds);
    std::ifstream file("/proc/net/unix");
    const std::string sockets{std::istreambuf_iterator<char>(file), {}};
    std::string missing;
    int lowest = launch_.local_size;
    for (int r = launch_.local_size - 1; r >= 0; --r) {
      if (sockets.find("@" + name(r) + "\n") == std::string::npos)
        missing = fmt::format("{}{}{}", r, missing.empty() ? "" : ", ", missing);
      else
        lowest = r;
    }
    if (lowest < launch_.local_rank) return {};
    std::array<char, 64> host{};
    gethostname(host.data(), host.size() - 1);
    return fmt::format("MPI has not started within {:g} s: of the {} ranks of host {}, {}", seconds,
                       launch_.local_size, host.data(),
                       missing.empty() ? "all wait for another host's" : "these have not joined: " + missing);
  }

 private:
  // The same for the ranks of one launcher on this host.
  static std::string name(int local_rank) {
    const char* job = std::getenv("PMIX_NAMESPACE");
    return fmt::format("mnist-trainer/{}/{}", job != nullptr ? job : std::to_string(getppid()), local_rank);
  }

  Launch launch_;
  Descriptor socket_;
};

const char* file_of(MpiKind mpi) {
  return mpi == MpiKind::open_mpi ? "libmnist-trainer-openmpi.so" : "libmnist-trainer-mpich.so";
}

PluginFunction* open_plugin(const RanksCall& call) {
  const bool is_open_mpi = call.launch.mpi == MpiKind::open_mpi;
  const fs::path path = find_plugin(call.launch.mpi, call.executable);
  if (path.empty())
    throw UsageError(
        fmt::format("{} started this program as rank {}, but {} is neither beside {} nor in "
                    "../lib/mnist-trainer: install {} and build again",
                    is_open_mpi ? "Open MPI" : "MPICH", call.launch.rank, file_of(call.launch.mpi),
                    call.executable.string(), is_open_mpi ? "libopenmpi-dev" : "libmpich-dev"));
  // Open MPI's own plugins look for its symbols among the global ones.
  void* const plugin = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  void* const function = plugin == nullptr ? nullptr : dlsym(plugin, kPluginFunction);
  if (function == nullptr)
    throw UsageError(fmt::format("cannot open {}: {}: install {}", path.string(), dlerror(),
                                 is_open_mpi ? "openmpi-bin" : "mpich"));
  return reinterpret_cast<PluginFunction*>(function);
}

}  // namespace

Launch find_launch(const Variables& variables) {
  for (const Launcher& launcher : kLaunchers) {
    const int rank = number_of(variables, launcher.rank);
    if (rank < 0) continue;
    int local_rank = number_of(variables, launcher.local_rank);
    if (local_rank < 0) local_rank = std::max(0, number_of(variables, "SLURM_LOCALID"));
    return {launcher.mpi, rank, std::max(0, number_of(variables, launcher.size)), local_rank,
            std::max(0, number_of(variables, launcher.local_size))};
  }
  return {};
}

void require_world(const Launch& launch, int world) {
  if (launch.size <= 1 || world != 1) return;
  throw SingletonError(fmt::format(
      "the launcher started {} ranks, but MPI knows of 1, so each of them would train alone: use the mpirun "
      "of the MPI that this program was built with, or srun --mpi=pmix (srun --mpi=list shows what Slurm "
      "has)",
      launch.size));
}

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

fs::path find_plugin(MpiKind mpi, const fs::path& executable) {
  for (const char* folder : {".", "../lib/mnist-trainer"}) {
    fs::path path = (executable.parent_path() / folder / file_of(mpi)).lexically_normal();
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  return {};
}

std::unique_ptr<Communicator> open_ranks(const RanksCall& call) {
  const Launch& launch = call.launch;
  if (launch.mpi == MpiKind::none) {
    require_world(launch, 1);
    return nullptr;
  }
  PluginFunction* const open = open_plugin(call);
  const Presence presence(launch);
  for (const auto& [name, value] : kSettings) setenv(name, value, 0);
  Watchdog watchdog([&] { return presence.what_is_missing(call.seconds); });
  watchdog.set(call.seconds);
  std::unique_ptr<Communicator> ranks(open(call.seconds));
  require_world(launch, ranks->size());
  return ranks;
}

}  // namespace trainer
