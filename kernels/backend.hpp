// A backend is where a network trains. It owns the memory and the handles, prepares ops, and records a step
// that is then launched again and again. Everything that a step calls (ops, gather, update) only launches work.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/communicator.hpp"
#include "kernels/device_info.hpp"
#include "kernels/gradient_exchange.hpp"
#include "kernels/math/augmentation.hpp"
#include "kernels/math/average.hpp"
#include "kernels/math/batching.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/schedule.hpp"
#include "kernels/op.hpp"
#include "kernels/precision.hpp"

namespace trainer {

// A failure of a backend; the message is complete.
class BackendError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws BackendError if the argmax of a max pool's window does not fit into the byte that both engines store it in.
void require_poolable(const OpDesc& desc, const Window& window, const char* engine);

// Owns a block of a backend's memory. Buffers hold whole arenas (parameters, gradients, optimiser state,
// activations), never single tensors, so there are few of them. They must all be released before their backend.
class Buffer {
 public:
  using Release = std::function<void(std::byte*)>;

  Buffer() = default;
  Buffer(std::byte* data, std::size_t bytes, Release release)
      : data_(data, std::move(release)), bytes_(bytes) {}

  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  std::unique_ptr<std::byte, Release> data_{nullptr, [](std::byte*) {}};
  std::size_t bytes_ = 0;
};

// Opens a step: sets state->valid, copies the step's images (or a crop of each) and labels into the batch, changes the
// images as `augmentation` says, and normalises the pixels: x[row] = pixel * scale + shift, which `standardise` then gives a mean
// of 0 and a deviation of 1 (kernels/math/standardisation.hpp). Rows from `valid` on are zero.
struct GatherArgs {
  Batching batching;
  Shape stored;  // a whole image of the data set
  Shape shape;   // the crop that becomes x; its top left corner is at [top, left]
  int top = 0;
  int left = 0;
  float scale = 1;
  float shift = 0;
  const std::uint8_t* images = nullptr;         // [count, stored.h, stored.w, c], resident
  const std::uint8_t* stored_labels = nullptr;  // [count]
  void* x = nullptr;                            // [batch, h, w, c], elements of type Backend::element()
  std::uint8_t* labels = nullptr;               // [batch]
  StepState* state = nullptr;
  Augmentation augmentation = {};
  bool standardise = false;

  // If so, an op that gathers() leaves the step to gather().
  bool needs_whole_images() const { return augmentation.any() || standardise; }
};

// A weight whose optimiser takes_matrices(): parameter 0 of `op`, [rows, columns] in its canonical layout.
struct WeightMatrix {
  Segment segment;
  const Op* op = nullptr;  // knows the weight's stored layout
  int rows = 0;
  int columns = 0;
  float factor = 1;  // multiplies the rate: muon_factor() of the matrix without padded channels
};

// Closes a training step: updates the flat parameters and advances state->step. From the first loss that is
// not finite, which it records in the state, it no longer changes any parameter.
struct UpdateArgs {
  const std::vector<Optimizer>* optimizers = nullptr;
  Schedule schedule;
  Batching batching;                                    // tells which epoch a step belongs to
  const std::vector<Segment>* segments = nullptr;       // updated one element at a time
  const std::vector<WeightMatrix>* matrices = nullptr;  // updated as whole matrices; null: none
  float* w = nullptr;                                   // [parameters], like every arena here
  void* cast_w = nullptr;  // the update's copy of w as Backend::element(); null if that is fp32
  float* dw = nullptr;     // an update may clip it in place; zero between segments
  float* slot0 = nullptr;  // optimiser state: optimizer_slots() slots are used
  float* slot1 = nullptr;
  StepState* state = nullptr;
  std::byte* workspace = nullptr;  // Backend::update_workspace_bytes() bytes
  float clip_norm = 0;     // above this norm of all gradients together they are scaled down to it; 0: never
  std::size_t floats = 0;  // of dw
};

// Times the work that a backend is given between start() and stop(), by the clock of the device that does it.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  virtual double seconds() = 0;  // between the last start and stop; waits until that work is done
};

// The stopwatch of a backend whose calls return when their work is done.
class HostStopwatch : public Stopwatch {
 public:
  void start() override { start_ = Clock::now(); }
  void stop() override { stop_ = Clock::now(); }
  double seconds() override { return std::chrono::duration<double>(stop_ - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_, stop_;
};

// A step that only launches work, and how many times in a row it runs.
struct RepeatedStep {
  std::function<void()> step;
  std::uint64_t times = 1;
};

// A recorded sequence of steps.
class Recording {
 public:
  virtual ~Recording() = default;
  // Launches the sequence `times` times in a row; 1 to Backend::repeats_per_launch().
  virtual void launch(std::uint64_t times) = 0;
  virtual std::size_t nodes() const = 0;  // its kernels and copies; 0 if the backend records none
};

// The libraries whose versions a backend reports; for `all` it must load those that no op has opened yet.
enum class Libraries { all, opened };

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual DeviceInfo info(Libraries libraries) const = 0;
  DeviceInfo info() const { return info(Libraries::all); }

  // Memory that is zeroed and aligned to at least 64 bytes. `what` names the arena in an out-of-memory error.
  virtual Buffer allocate(std::size_t bytes, std::string_view what) = 0;
  // Lets steps read `bytes` of host memory: a device gets one asynchronous copy, the CPU reads it in place.
  // The host memory must stay unchanged for as long as the buffer lives.
  virtual Buffer make_resident(const void* data, std::size_t bytes, std::string_view what) = 0;
  // Synchronous copies, never used within an epoch.
  virtual void upload(std::byte* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const std::byte* from, std::size_t bytes) = 0;

  // Makes this process one of several ranks; before anything is prepared. What the ops exchange goes through part.ranks.
  virtual void join(const RankPart& part) { part_ = part; }
  const RankPart& part() const { return part_; }
  // Adds up the gradients of all ranks. Throws BackendError if the engine cannot.
  virtual std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& /*desc*/) {
    throw BackendError("this engine does not train on several ranks; choose --device cpu");
  }

  // Whether prepare() makes one op of the two; if not, product and normalisation are prepared separately.
  virtual bool fuses(const NormalisedDesc& /*desc*/, int /*batch*/, bool /*wants_dx*/) const { return false; }
  // Throws BackendError with the op's description when it cannot be built. `wants_dx`: whether backward will
  // ever be asked for dx (never for the first op).
  virtual std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) = 0;

  // Whether a shard of the batch may be several ops ahead of another, so that two gradients of maps must not share memory.
  virtual bool chains_shards() const { return false; }
  // The element type of maps. If it is not fp32, ops also get a copy of the weights that is cast to it.
  virtual Element element() const { return Element::fp32; }
  // Whether the map between `desc` and `next` is bf16 although element() is fp32 (MapContract::bf16). `wants_dx` is that of `desc`.
  virtual bool keeps_map_in_bf16(const OpDesc& /*desc*/, bool /*wants_dx*/, const OpDesc& /*next*/) const {
    return false;
  }
  // Maps inside a network get a multiple of so many channels, for the backend's fastest products.
  virtual int channel_multiple() const { return 1; }
  // The head multiplies its gradient by this, which scales all other gradients too; update() divides by it
  // again. It is a power of two that lifts small gradients into the range of fp16.
  virtual float loss_scale() const { return 1; }
  // to[i] = from[i] cast to element(); never called if that is fp32.
  virtual void cast(const float* from, void* to, std::size_t count) = 0;

  virtual void gather(const GatherArgs& args) = 0;
  virtual void update(const UpdateArgs& args) = 0;
  virtual std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const = 0;
  virtual void average(const AverageArgs& args) = 0;  // moves averages, after update()
  virtual void advance(StepState* state) = 0;         // closes a step that does not train: ++state->step

  // Nothing of the sequence runs before it is launched. Whatever changes from launch to launch is in memory
  // that its steps read: StepState holds the step number and the run's seed.
  virtual std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) = 0;
  // How many repeats of one step a launch should hold: the host checks for signals and limits between launches.
  virtual std::uint64_t repeats_per_launch() const = 0;
  // Whether launch() returns before its work is done, so that reading numbers from the device has to wait.
  virtual bool runs_ahead() const = 0;
  // True while so many launches are in flight that the host should check signals and limits before the next.
  virtual bool busy() const = 0;
  virtual void wait() = 0;  // until all launched work is done
  // Times launches that are not part of a recording.
  virtual std::unique_ptr<Stopwatch> stopwatch() { return std::make_unique<HostStopwatch>(); }

 protected:
  Backend() = default;

 private:
  RankPart part_;
};

// How an engine computes: as fast as it can, or with the same bits on every machine (kernels/portable/).
enum class Bits { fast, portable };

struct CpuOptions {
  int threads = 0;  // 0: every core that this process may use, but no more than a batch has shards
  Precision precision = Precision::fp32;  // or bf16 if the processor has bf16 products
  Bits bits = Bits::fast;                 // portable: fp32 only
  int batch = 0;                          // a training step has so many rows; 0: not known
};
// Whether the CPU engine supports `precision` on this processor; it always supports fp32.
bool cpu_has(Precision precision);
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);  // throws BackendError with the reason
// This machine's processor, for a backend that uses `threads` of its threads.
CpuInfo describe_cpu(int threads);

struct CudaOptions {
  int device = 0;
  Precision precision = Precision::fp32;
  bool deterministic = true;              // the same seed gives the same bits
  std::filesystem::path plan_cache = {};  // folder of cuDNN plans found earlier; empty: none
  unsigned multiprocessors = 0;           // work is divided among at most so many; 0: all of the device
  Bits bits = Bits::fast;                 // portable: fp32 only, deterministic, without libraries
  bool libraries = false;                 // prefer a library's op wherever it has the whole layer as one
};
// Describes GPU 0, which --device auto takes, and opens its context if that is possible.
GpuAvailability gpu_availability();
// Every GPU that this process sees and that answers, by index; none if gpu_availability() reports none.
std::vector<GpuInfo> all_gpus();
// Bytes per second from the memory of one GPU of all_gpus() to another's, the best of several copies; nothing
// if they are not two of its GPUs. Throws BackendError if a copy fails.
std::optional<double> peer_bytes_per_second(int from, int to);
// Whether GPU `device` of all_gpus() supports `precision`: fp32 and fp16 always, tf32 and bf16 from compute
// capability 8.0 on. Throws BackendError if the device does not answer.
bool gpu_has(int device, Precision precision);
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);  // throws BackendError

}  // namespace trainer
