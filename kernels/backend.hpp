// A backend: where a network trains. It owns the memory and the handles, makes ops ready, and records a step
// to be launched again and again. Everything that a step calls (ops, gather, update) only launches.
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

#include "kernels/device_info.hpp"
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

// A block of a backend's memory, owned. Buffers hold whole arenas (parameters, gradients, optimiser state,
// activations), never single tensors, so there are few of them and all are gone before their backend.
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

// Opens a step: sets state->valid, copies the images of the step's rows, or a piece of each, and normalises
// them: x[row] = pixel * scale + shift, labels[row]; rows from `valid` on are zero.
struct GatherArgs {
  Batching batching;
  Shape stored;  // of an image
  Shape shape;   // of the piece of it that is x, whose corner is at [top, left]
  int top = 0;
  int left = 0;
  float scale = 1;
  float shift = 0;
  const std::uint8_t* images = nullptr;         // [count, stored.h, stored.w, c], resident
  const std::uint8_t* stored_labels = nullptr;  // [count]
  void* x = nullptr;                            // [batch, h, w, c], of Backend::element()
  std::uint8_t* labels = nullptr;               // [batch]
  StepState* state = nullptr;
};

// A weight whose optimiser takes_matrices(): parameter 0 of `op`, canonically [rows, columns].
struct WeightMatrix {
  Segment segment;
  const Op* op = nullptr;  // knows how it is stored
  int rows = 0;
  int columns = 0;
  float factor = 1;  // on the rate: muon_factor() of the matrix without padded channels
};

// Closes a training step: notes a loss that is not finite and from then on changes nothing; else one
// optimiser pass over the flat parameters. Then advances state->step.
struct UpdateArgs {
  const std::vector<Optimizer>* optimizers = nullptr;
  Schedule schedule;
  Batching batching;                                    // for the epoch of a step
  const std::vector<Segment>* segments = nullptr;       // updated one element at a time
  const std::vector<WeightMatrix>* matrices = nullptr;  // and those that are not; null: none
  float* w = nullptr;                                   // all arenas alike, [parameters]
  void* cast_w = nullptr;  // written beside w, of Backend::element(); null where that is fp32
  const float* dw = nullptr;
  float* slot0 = nullptr;  // optimizer_slots() of them
  float* slot1 = nullptr;
  StepState* state = nullptr;
  std::byte* workspace = nullptr;  // of Backend::update_workspace_bytes()
};

// Times what a backend is given between two calls, by the clock of whoever does the work.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  virtual double seconds() = 0;  // between the last start and stop; waits until that work is done
};

// For a backend whose calls return when their work is done.
class HostStopwatch final : public Stopwatch {
 public:
  void start() override { start_ = Clock::now(); }
  void stop() override { stop_ = Clock::now(); }
  double seconds() override { return std::chrono::duration<double>(stop_ - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_, stop_;
};

// A step that only launches, and how often in a row.
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
  virtual std::size_t nodes() const = 0;  // kernels and copies of it; 0 where nothing is recorded
};

// The libraries whose versions a backend reports. A library that no op has opened would have to be loaded first.
enum class Libraries { all, opened };

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual DeviceInfo info(Libraries libraries) const = 0;
  DeviceInfo info() const { return info(Libraries::all); }

  // Zeroed and aligned to 64 bytes at least. `what` names the arena in an out-of-memory error.
  virtual Buffer allocate(std::size_t bytes, std::string_view what) = 0;
  // `bytes` of host memory for steps to read: copied to a device once, on the way while the host goes on;
  // used in place on the CPU. The host memory stays as it is for as long as the buffer lives.
  virtual Buffer make_resident(const void* data, std::size_t bytes, std::string_view what) = 0;
  // Copies that wait until they are done; never within an epoch.
  virtual void upload(std::byte* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const std::byte* from, std::size_t bytes) = 0;

  // Whether prepare() makes one op of it; if not, product and normalisation are prepared as two.
  virtual bool fuses(const NormalisedDesc& /*desc*/, int /*batch*/, bool /*wants_dx*/) const { return false; }
  // Throws BackendError with the op's description when it cannot be built. `wants_dx`: whether backward is
  // ever asked for dx (the first op's is not).
  virtual std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) = 0;

  // What maps are stored as. Where it is not fp32, ops are given a cast copy of the weights beside them.
  virtual Element element() const { return Element::fp32; }
  // Whether the map between the two, of which the first's dx is wanted or not, is bf16 all the same
  // (MapContract::bf16).
  virtual bool keeps_map_in_bf16(const OpDesc& /*desc*/, bool /*wants_dx*/, const OpDesc& /*next*/) const {
    return false;
  }
  // The number of channels of maps inside a network is a multiple of this, for the backend's fastest products.
  virtual int channel_multiple() const { return 1; }
  // The head's gradient is that of the loss times this, and so are all that follow from it; update() takes it
  // out again. A power of two that lifts small gradients into the range of fp16.
  virtual float loss_scale() const { return 1; }
  // to[i] = from[i] cast to element(); never called where that is fp32.
  virtual void cast(const float* from, void* to, std::size_t count) = 0;

  virtual void gather(const GatherArgs& args) = 0;
  virtual void update(const UpdateArgs& args) = 0;
  virtual std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const = 0;
  virtual void advance(StepState* state) = 0;  // closes a step that does not train: ++state->step

  // Nothing of the sequence runs before it is launched. What changes from launch to launch lies in the memory
  // that its steps read: of a run, number and seed are in StepState.
  virtual std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) = 0;
  // As many repeats of a single step as are worth one launch: the host looks around between launches.
  virtual std::uint64_t repeats_per_launch() const = 0;
  // Whether launch() returns before its work is done, so that reading a device's numbers would mean to
  // wait.
  virtual bool runs_ahead() const = 0;
  // True while so many launches are in flight that the host should look around before the next one.
  virtual bool busy() const = 0;
  virtual void wait() = 0;  // until everything launched is done
  // For launches that are not recorded.
  virtual std::unique_ptr<Stopwatch> stopwatch() { return std::make_unique<HostStopwatch>(); }

 protected:
  Backend() = default;
};

struct CpuOptions {
  int threads = 0;                        // 0: every core that this process may use
  Precision precision = Precision::fp32;  // or bf16, where the processor has products of it
};
// Whether the CPU engine computes in it on this processor: fp32 always.
bool cpu_has(Precision precision);
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);  // throws BackendError with the reason
// This machine's processor, for a backend that uses `threads` of its threads.
CpuInfo describe_cpu(int threads);

struct CudaOptions {
  int device = 0;
  Precision precision = Precision::fp32;
  bool deterministic = true;              // the same seed gives the same bits
  std::filesystem::path plan_cache = {};  // folder that keeps what was slow to find out; empty: none
  unsigned multiprocessors = 0;           // that work is cut for, at most; 0: all that the device has
  bool libraries = false;                 // a layer that a library has as one op is the library's
};
// Of GPU 0, which --device auto takes. Opens its context where that works.
GpuAvailability gpu_availability();
// Every GPU that this process sees and that answers, by index; none where gpu_availability() says that there
// is none.
std::vector<GpuInfo> all_gpus();
// Bytes a second from the memory of one GPU of all_gpus() to another's, the best of some copies; nothing
// where there are no two such. Throws BackendError where a copy fails.
std::optional<double> peer_bytes_per_second(int from, int to);
// Whether GPU `device` of all_gpus() computes in it: fp32 and fp16 always, tf32 and bf16 from 8.0 on.
// Throws BackendError where the device does not answer.
bool gpu_has(int device, Precision precision);
std::unique_ptr<Backend> make_cuda_backend(
    const CudaOptions& options);  // throws BackendError with the reason

}  // namespace trainer
