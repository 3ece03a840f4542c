// The plugin of the MPI that started this process is opened by dlopen and never closed. Ranks of one host see in /proc/net/unix who of
// them has come as far as here, so that those who wait in MPI_Init can say who is missing.
#include "trainer/ranks/open_ranks.hpp"

#include <array>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/socket.h>
#include <sys/un.h>

#include "trainer/ranks/watchdog.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

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
      if (sockets.find("@" + name(r) + "\n") == std::string::npos) {
        missing = fmt::format("{}{}{}", r, missing.empty() ? "" : ", ", missing);
      } else {
        lowest = r;
      }
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
  if (path.empty()) {
    throw UsageError(
        fmt::format("{} started this program as rank {}, but {} is neither beside {} nor in "
                    "../lib/mnist-trainer: install {} and build again",
                    is_open_mpi ? "Open MPI" : "MPICH", call.launch.rank, file_of(call.launch.mpi),
                    call.executable.string(), is_open_mpi ? "libopenmpi-dev" : "libmpich-dev"));
  }
  // Open MPI's own plugins look for its symbols among the global ones.
  void* const plugin = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  void* const function = plugin == nullptr ? nullptr : dlsym(plugin, kPluginFunction);
  if (function == nullptr) {
    throw UsageError(fmt::format("cannot open {}: {}: install {}", path.string(), dlerror(),
                                 is_open_mpi ? "openmpi-bin" : "mpich"));
  }
  return reinterpret_cast<PluginFunction*>(function);
}

}  // namespace

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
