// The training loop: launches recorded steps, keeps control between launches (signals, time limits, progress, checkpoints),
// evaluates at the end of each epoch and of the run, and stops at the first of: end of the recipe, target accuracy, time limit,
// signal, or a loss that is not finite. It neither prints nor writes anything: it notifies its observer.
#pragma once

#include <cstdint>
#include <optional>

#include "models/network.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/train/evaluation.hpp"

namespace trainer {

enum class StopReason { finished, target, time_limit, step_limit, signal, bad_loss };  // as in ending_of()

struct LoopLimits {
  // Accuracy, 0 to 1, on the validation images if there are any, else on the test images.
  std::optional<double> target_accuracy = {};
  std::optional<double> max_seconds = {};  // limit of this call
  std::uint64_t max_steps = 0;             // the run ends after so many, earlier parts included; 0: no limit
  std::uint64_t checkpoint_epochs = 1;     // 0: only at the end
  std::uint64_t checkpoint_steps = 0;      // instead of epochs, if not 0
  std::uint64_t digest_steps = 0;          // 0: no digests of steps
};

struct LoopProgress {
  std::uint64_t step = 0;
  std::uint64_t total_steps = 0;
  std::uint64_t epoch_begin = 0;  // first step of this epoch, or a resumed run's first
  std::uint64_t epoch_end = 0;    // first step after this epoch
};

// What a checkpoint holds besides the network's own state.
struct LoopPosition {
  std::uint64_t step = 0;    // steps done
  std::uint64_t epochs = 0;  // evaluations done
  double epoch_seconds = 0;  // of training since the last evaluation
};

class LoopObserver {
 public:
  virtual ~LoopObserver() = default;
  virtual void progressed(const LoopProgress& progress) = 0;  // between launches: must return at once
  virtual void epoch_done(const EpochRecord& record) = 0;
  virtual void checkpoint_due(const LoopPosition& position) = 0;  // no launch is running
  virtual void digest_due(std::uint64_t /*step*/) {}              // nor here
  virtual bool stop_asked() const = 0;                            // a signal
};

struct LoopResult {
  StopReason reason = StopReason::finished;
  LoopPosition position;
  std::uint64_t bad_step = 0;   // with bad_loss: the first step with a loss that was not finite
  std::size_t graph_nodes = 0;  // in the graph of a training step; 0 if it is not a graph
};

// Trains from the network's current training state (step 0, or a checkpoint's); `start` is that checkpoint's position. On return
// no launch is running, and the weights are those after position.step steps. An evaluation that a signal interrupts is left to
// the resumed run.
LoopResult run_loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
                    const LoopLimits& limits, const LoopPosition& start, LoopObserver& observer);

}  // namespace trainer
