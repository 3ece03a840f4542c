// A network on a backend: the plan's prepared ops, one arena for each role (parameters, gradients, optimiser state,
// statistics, activations, saved values), and one workspace shared by all ops. It knows what a training step and
// an evaluation step consist of; the training loop decides when they run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.hpp"
#include "models/lower.hpp"

namespace trainer {

// x = pixel * scale + shift, then standardised image by image if `by_image`
struct PixelScaling {
  float scale = 1.0F / 255;
  float shift = 0;
  bool by_image = false;
};

// Images and labels in the backend's memory, owned by the caller, and which of them a step reads and how.
struct StepInput {
  const std::uint8_t* images = nullptr;  // [count, h, w, c]
  const std::uint8_t* labels = nullptr;  // [count]
  Batching batching;                     // its batch equals the plan's
  PixelScaling scaling;
  Augmentation augmentation = {};  // in training; at_test() of it in evaluation
};

struct TrainingRule {
  std::vector<Optimizer> optimizers;  // optimizers_of(recipe)
  Schedule schedule;
  float clip_norm = 0;  // UpdateArgs
};

// A named array of the network's state in its canonical layout: a parameter, a running statistic, one of the optimiser's values
// for a parameter, or a moving average ("conv1.weight", "conv1.weight.adam_m", "conv1.weight.ema").
struct NetworkTensor {
  std::string name;
  std::vector<int> shape;
  std::size_t count = 0;
  int op = 0;         // index into plan().ops
  int parameter = 0;  // index into PlannedOp::parameters
  int arena = 0;      // 0: the value itself, 1 and 2: optimiser slots, kAverages
};
constexpr int kAverages = 3;
inline constexpr std::string_view kAverageSuffix = ".ema";

// The parts of a training step, in this order; there is no gather part if the first op gathers, and an exchange between ranks only.
struct StepPart {
  enum class Kind { gather, forward, backward, exchange, update } kind;
  int op = -1;  // index into Network::plan().ops; -1 if the part is no op's
};

// Observes a step that is launched without being recorded. If the backend runs ahead, a part's work may not be
// done when after() is called: an observer that needs it done must wait there.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  virtual void before(const StepPart& part) = 0;
  virtual void after(const StepPart& part) = 0;
};

enum class Purpose { training, inference };  // inference allocates no gradients and no optimiser state

class Network {
 public:
  // Prepares every op; throws BackendError. `optimizers` determine the size of the optimiser state and the names
  // of its tensors; pass none for inference.
  Network(const Plan& plan, Backend& backend, Purpose purpose, const std::vector<Optimizer>& optimizers = {});

  // The plan as it runs here (lower.hpp): its ops may be fewer than those of the plan that it was made from.
  const Plan& plan() const { return lowered_.plan; }

  // Parameters and statistics first, then the optimiser's state, then moving averages: what a checkpoint holds.
  const std::vector<NetworkTensor>& tensors() const { return tensors_; }
  std::vector<float> read(const NetworkTensor& tensor) const;  // waits for the device
  // Takes tensor.count values; those of a parameter or statistic become its average too.
  void write(const NetworkTensor& tensor, const std::vector<float>& values);
  // Whether evaluation reads moving averages (Plan::average). With Purpose::inference there are none: the weights are what it was given.
  bool averages() const { return purpose_ == Purpose::training && plan().average.has_value(); }
  // What evaluation reads for a parameter or running statistic.
  NetworkTensor tested(NetworkTensor tensor) const;

  // Draws every parameter from its initialiser and clears the optimiser's state.
  void initialize(std::uint64_t seed);

  struct States {
    StepState training, evaluation;
  };
  States read_states() const;  // one copy, which waits for the device
  StepState read_training_state() const { return read_states().training; }
  void write_training_state(const StepState& state);
  void write_evaluation_state(const StepState& state);
  // It sums the gradients of several ranks; null if this process trains alone.
  GradientExchange* exchange() const { return exchange_.get(); }
  // What few bits have left out so far, of all ranks: gathered before a checkpoint, which all of them reach at the same step.
  void gather_residuals() { residuals_ = exchange_->residuals(); }
  const Residuals& residuals() const { return residuals_; }
  // Gives every rank the running statistics of rank 0. Each rank's own are of its rows, unless batch normalisation is synchronised.
  void share_statistics();
  std::vector<float> read_logits() const;  // the last step's, [batch, classes]

  // Both launch one step, and can be recorded. Training uses the training state, evaluation its own.
  void train_step(const StepInput& input, const TrainingRule& rule, StepObserver* observer = nullptr);
  void evaluate_step(const StepInput& input);

  // Bytes of all arenas, by role.
  struct Memory {
    std::size_t parameters = 0, gradients = 0, optimizer = 0, activations = 0, workspace = 0;
  };
  Memory memory() const;

 private:
  struct Slot {
    std::size_t offset = 0;  // in floats, into Weights::parameters or statistics
    bool trained = true;
  };
  struct Weights {
    Buffer parameters, casts, statistics;
    std::size_t bytes() const { return parameters.bytes() + casts.bytes() + statistics.bytes(); }
    float* of(const Slot& slot) const {
      return (slot.trained ? parameters : statistics).floats() + slot.offset;
    }
  };
  struct Stage {
    std::unique_ptr<Op> op;
    std::vector<Slot> slots;  // one per parameter
    std::byte* y = nullptr;
    std::byte* dx =
        nullptr;  // ops alternate between two arrays, unless shards are chained or a residual block ends before
    std::byte* saved = nullptr;
  };

  void prepare_ops();
  void allocate_parameters();
  void allocate_learner(std::size_t op, std::size_t parameter, Segment segment);
  void allocate_activations();
  void prepare_exchange();
  void list_tensors();
  void list_averages();
  std::size_t map_bytes(const Shape& shape) const;                // for a whole batch
  void* cast_of(const Weights& weights, const Slot& slot) const;  // null if maps are fp32
  const PaddedParameter& padding_of(const NetworkTensor& tensor) const;
  float* address_of(const NetworkTensor& tensor) const;
  const Weights* weights_in(int arena) const;  // null for an optimiser's slot
  void move_averages();
  // The arguments that all ops of a step share.
  struct Pass {
    Mode mode;
    StepState* state;
    std::uint64_t steps = 0;  // length of the whole run, for training
  };
  OpArgs arguments(std::size_t index, const Pass& pass) const;
  void forward(const StepInput& input, const Pass& pass, StepObserver* observer);
  void backward(const Pass& pass, StepObserver* observer);

  LoweredPlan lowered_;
  Backend& backend_;
  Purpose purpose_;
  std::vector<Optimizer> optimizers_;
  int slot_count_ = 0;
  std::vector<Stage> stages_;
  std::unique_ptr<GradientExchange> exchange_;
  Residuals residuals_;
  std::vector<Segment> segments_;
  std::vector<WeightMatrix> matrices_;
  std::vector<NetworkTensor> tensors_;
  Weights weights_, averages_;
  Buffer gradients_, slots_[2], activations_, gradient_maps_, saved_, workspace_, labels_, selected_, states_;
  std::byte* x_ = nullptr;  // the gathered batch
};

}  // namespace trainer
