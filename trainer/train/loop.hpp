// The training loop: launches recorded steps, keeps control between launches (signals, time limits, progress,
// checkpoints), evaluates after every full pass, and stops for the first of: end of the recipe, target
// accuracy, time limit, signal, or a loss that is not finite. It prints nothing and writes nothing: it tells
// its observer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/store/epoch_record.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// The data set where the steps can read it. The Setup that it was made from outlives it.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Setup& setup);
  StepInput train_input(const Batching& batching) const;  // of the training split: training or validation
  StepInput test_input(const Batching& batching) const;

 private:
  PixelScaling scaling_;
  Buffer train_images_, train_labels_, test_images_, test_labels_;
};

// Launches `steps` replays of a recorded step, as many in a row as the backend takes, and waits whenever it
// is busy; false once `stop_asked` said so. The last launches may still run.
bool launch_steps(
    Recording& step, Backend& backend, std::uint64_t steps,
    const std::function<bool()>& stop_asked = [] { return false; });

// The network over all images of an input: recorded once, run whenever it is asked for. What it is made of
// outlives it.
class Evaluation {
 public:
  Evaluation(Network& network, Backend& backend, const StepInput& input);

  // Waits for the result and reads it back with the state of the training, in one copy. Nothing when
  // `stop_asked` said so midway.
  struct Result {
    Score score;
    StepState training;
  };
  std::optional<Result> run(const std::function<bool()>& stop_asked);

 private:
  Network& network_;
  Backend& backend_;
  std::uint64_t steps_;
  std::unique_ptr<Recording> step_;
};

// An evaluation that is made once.
std::optional<Score> evaluate(Network& network, Backend& backend, const StepInput& input,
                              const std::function<bool()>& stop_asked);

enum class StopReason { finished, target, time_limit, signal, bad_loss };

struct LoopLimits {
  // Share; of the validation images if there are any, else of the test images.
  std::optional<double> target_accuracy = {};
  std::optional<double> max_seconds = {};  // of this call
  std::uint64_t checkpoint_epochs = 1;     // 0: only at the end
  std::uint64_t checkpoint_steps = 0;      // instead of passes, if not 0
};

struct LoopProgress {
  std::uint64_t step = 0;
  std::uint64_t total_steps = 0;
  std::uint64_t pass_begin = 0;  // first step of this pass, and of the next
  std::uint64_t pass_end = 0;
};

// What a checkpoint needs of the loop beside the network's own state.
struct LoopPosition {
  std::uint64_t step = 0;    // steps done
  std::uint64_t epochs = 0;  // evaluations done
  double pass_seconds = 0;   // of training since the last of them
};

class LoopObserver {
 public:
  virtual ~LoopObserver() = default;
  virtual void progressed(const LoopProgress& progress) = 0;  // between launches: return at once
  virtual void epoch_done(const EpochRecord& record) = 0;
  virtual void checkpoint_due(const LoopPosition& position) = 0;  // the network is at rest
  virtual bool stop_asked() const = 0;                            // a signal
};

struct LoopResult {
  StopReason reason = StopReason::finished;
  LoopPosition position;
  std::uint64_t bad_step = 0;   // with bad_loss: the first step whose loss was not finite
  std::size_t graph_nodes = 0;  // of a training step, where it is a graph
};

// Trains from the network's present training state (step 0, or a checkpoint's) on; `start` is that
// checkpoint's position. On return the network is at rest and its weights are those of position.step finished
// steps. A signal during an evaluation leaves that evaluation to the resumed run.
LoopResult run_loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
                    const LoopLimits& limits, const LoopPosition& start, LoopObserver& observer);

}  // namespace trainer
