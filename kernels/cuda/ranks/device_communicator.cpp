// NCCL's calls never block here: each is polled against the clock, because a rank that does not come would be waited for in vain.
#include "kernels/cuda/ranks/device_communicator.hpp"

#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <nccl.h>
#include <thread>
#include <utility>

#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"

namespace trainer::cuda {

namespace {

using RankClock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kNcclPoll{20};
constexpr double kStartSeconds = 300;
constexpr double kAnswerSeconds = 5;  // for a rank to say that it is still there

// What a rank is doing, and until when it may take for it.
struct Watched {
  std::string activity = "the start of NCCL";
  double seconds = kStartSeconds;
  RankClock::time_point since = RankClock::now();

  bool is_late() const { return std::chrono::duration<double>(RankClock::now() - since).count() > seconds; }
};

// The host's ranks; it notes what they begin.
class WatchedHost final : public Communicator {
 public:
  WatchedHost(Communicator& ranks, Watched& watched) : ranks_(ranks), watched_(watched) {}
  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  void all_gather(void* data, const std::vector<std::size_t>& borders) override {
    ranks_.all_gather(data, borders);
  }
  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override {
    ranks_.all_to_all(data, borders, received);
  }
  void begin(const std::string& activity, double seconds) override {
    watched_.activity = activity;
    watched_.seconds = seconds;
    watched_.since = RankClock::now();
    ranks_.begin(activity, seconds);
  }

 private:
  Communicator& ranks_;
  Watched& watched_;
};

class NcclCommunicator final : public DeviceCommunicator {
 public:
  NcclCommunicator(Communicator& ranks, cudaStream_t stream) : host_(ranks, watched_), stream_(stream) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settle(ncclCommInitRankConfig(&comm_, size(), shared_id(), rank(), &config), "ncclCommInitRankConfig");
    connect();
  }
  // Work that has been launched is done unless an error has come in between; then the others may never call this.
  ~NcclCommunicator() override {
    if (comm_ == nullptr) return;
    try {
      if (std::uncaught_exceptions() > 0) throw RankLost("");
      settle(ncclCommFinalize(comm_), "ncclCommFinalize");
      static_cast<void>(ncclCommDestroy(comm_));
    } catch (const std::exception&) {
      if (comm_ != nullptr) static_cast<void>(ncclCommAbort(comm_));
    }
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  Communicator& host() override { return host_; }
  void begin(const std::string& activity, double seconds) override { host_.begin(activity, seconds); }

  void all_gather(void* data, const std::vector<std::size_t>& borders) override {
    exchange([&](int /*peer*/) { return part(data, borders, rank()); },
             [&](int peer) { return part(data, borders, peer); });
  }

  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override {
    const Part own = part(data, borders, rank());
    const auto place = [&](int peer) {
      return Part{static_cast<std::byte*>(received) + static_cast<std::size_t>(peer) * own.bytes, own.bytes};
    };
    check(cudaMemcpyAsync(place(rank()).data, own.data, own.bytes, cudaMemcpyDeviceToDevice, stream_),
          "a copy of this rank's own part");
    exchange([&](int peer) { return part(data, borders, peer); }, place);
  }

  void watch() override {
    if (comm_ == nullptr) return;
    const std::uint64_t now = progress != nullptr ? *progress : 0;
    if (std::exchange(progress_, now) != now) watched_.since = RankClock::now();
    ncclResult_t state = ncclSuccess;
    require(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    require(state, "an exchange between the GPUs");
    if (watched_.is_late() && cudaStreamQuery(stream_) == cudaErrorNotReady)
      lose(fmt::format("took more than {} s", watched_.seconds));
  }

 private:
  // NCCL connects two ranks when they first exchange something: here, so that no capture of a step is the first to.
  void connect() {
    std::vector<std::size_t> borders;
    for (int r = 0; r <= size(); ++r) borders.push_back(static_cast<std::size_t>(r));
    const auto bytes = made<Handle<std::byte, cudaFree>>(
        [&](std::byte** out) { check(cudaMalloc(out, 2 * borders.size()), "cudaMalloc for NCCL"); });
    check(cudaMemsetAsync(bytes.get(), 0, 2 * borders.size(), stream_), "cudaMemsetAsync");
    all_to_all(bytes.get(), borders, bytes.get() + borders.size());
    while (cudaStreamQuery(stream_) == cudaErrorNotReady) watch();
    watch();
  }

  struct Part {
    std::byte* data;
    std::size_t bytes;
  };
  static Part part(const void* data, const std::vector<std::size_t>& borders, int of) {
    const std::size_t begin = borders[static_cast<std::size_t>(of)];
    auto* bytes = static_cast<std::byte*>(const_cast<void*>(data));
    return {bytes + begin, borders[static_cast<std::size_t>(of) + 1] - begin};
  }

  // Sends sent(peer) to each other rank while received(peer) comes from it; empty parts are left out on both sides.
  void exchange(const auto& sent, const auto& received) {
    require(ncclGroupStart(), "ncclGroupStart");
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == rank()) continue;
      const Part out = sent(peer);
      const Part in = received(peer);
      if (out.bytes > 0) require(ncclSend(out.data, out.bytes, ncclUint8, peer, comm_, stream_), "ncclSend");
      if (in.bytes > 0) require(ncclRecv(in.data, in.bytes, ncclUint8, peer, comm_, stream_), "ncclRecv");
    }
    settle(ncclGroupEnd(), "ncclGroupEnd");
  }

  // Rank 0's, which all ranks need.
  ncclUniqueId shared_id() {
    ncclUniqueId id{};
    if (rank() == 0) require(ncclGetUniqueId(&id), "ncclGetUniqueId");
    std::vector<std::size_t> borders(static_cast<std::size_t>(size()) + 1, sizeof id);
    borders[0] = 0;
    host_.all_gather(&id, borders);
    return id;
  }

  // Waits until a call that does not block has done its part on the host.
  void settle(ncclResult_t result, const char* what) {
    while (result == ncclInProgress) {
      if (watched_.is_late()) lose(fmt::format("{} took more than {} s", what, watched_.seconds));
      std::this_thread::sleep_for(kNcclPoll);
      require(ncclCommGetAsyncError(comm_, &result), "ncclCommGetAsyncError");
    }
    require(result, what);
  }

  void require(ncclResult_t result, const char* what) {
    if (result == ncclSuccess || result == ncclInProgress) return;
    const char* more = ncclGetLastError(comm_);
    lose(fmt::format("{}: {} ({})", what, ncclGetErrorString(result),
                     more != nullptr ? more : "no more is known"));
  }

  // Ends NCCL's kernels, then asks all ranks on the host: the error names the one that does not answer.
  [[noreturn]] void lose(const std::string& why) {
    if (comm_ != nullptr) static_cast<void>(ncclCommAbort(std::exchange(comm_, nullptr)));
    std::vector<std::byte> answers(static_cast<std::size_t>(size()));
    std::vector<std::size_t> borders;
    for (std::size_t r = 0; r <= answers.size(); ++r) borders.push_back(r);
    const std::string activity = watched_.activity;
    host_.begin(activity, kAnswerSeconds);
    host_.all_gather(answers.data(), borders);
    throw RankLost(
        fmt::format("rank {} of {} on a GPU, in {}: {}; all ranks still answer: NCCL_DEBUG=INFO tells more",
                    rank(), size(), activity, why));
  }

  Watched watched_;
  WatchedHost host_;
  cudaStream_t stream_;
  std::uint64_t progress_ = 0;
  ncclComm_t comm_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceCommunicator> make_device_communicator(Communicator& host, cudaStream_t stream) {
  return std::make_unique<NcclCommunicator>(host, stream);
}

}  // namespace trainer::cuda
