// What the training loop does so that several ranks do the same: nothing on one.
#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "trainer/train/rank_share.hpp"

namespace trainer {

class RankControl {
 public:
  RankControl(Network& network, Backend& backend) : network_(network), backend_(backend) {}

  // The rule from `step` on. What gradients of one bit leave out is sent later, which makes up for it only if Adam divides both by about
  // the same, so its second moment remembers longer (1-bit Adam keeps it fixed: Tang et al., ICML 2021).
  TrainingRule rule_from(std::uint64_t step, TrainingRule rule) const {
    const RankPart& part = backend_.part();
    if (part.gradient_bits != 1 || step < part.full_steps) return rule;
    for (Optimizer& optimizer : rule.optimizers) optimizer.beta2 = std::max(optimizer.beta2, 0.99F);
    return rule;
  }

  // Tells the ranks what comes next: how long one of them may take for it before it counts as lost.
  void expect(const char* what, std::uint64_t step, bool is_quick = false) {
    const RankPart& part = backend_.part();
    if (part.ranks == nullptr) return;
    const bool patient = std::exchange(patient_, !is_quick) || !is_quick;
    part.ranks->begin(fmt::format("{} {}", what, step),
                      patient ? std::max(part.timeout, kPatience) : part.timeout);
  }

  // Whether to stop before `step`, given whether this rank would: after the same step on every rank. Then `signal`, whether it would
  // because of a signal, becomes true everywhere if it is anywhere.
  bool stops(std::uint64_t step, bool would_stop, bool& signal) {
    GradientExchange* exchange = network_.exchange();
    if (exchange == nullptr) return would_stop;
    exchange->before_launch(step);
    if (would_stop) exchange->ask_to_stop();
    if (!exchange->stops()) return false;
    expect("the stop after step", step);
    signal = std::ranges::count(gathered(signal ? 1 : 0, *backend_.part().ranks), 1) > 0;
    return true;
  }

  // Before a checkpoint, which rank 0 writes: the training's sums and statistics become those of all ranks there.
  void add_up(std::uint64_t step) {
    if (backend_.part().ranks == nullptr) return;
    expect("the checkpoint after step", step);
    network_.share_statistics();
    network_.gather_residuals();
    StepState state = *sums_of_all(network_.read_training_state(), true, backend_.part());
    if (backend_.part().ranks->rank() != 0) state.clear_sums();
    network_.write_training_state(state);
  }

  // The seconds of exchanges since the last call; nothing on one rank.
  std::optional<double> exchange_seconds() {
    const GradientExchange* exchange = network_.exchange();
    if (exchange == nullptr) return std::nullopt;
    const double seconds = exchange->count().seconds;
    return seconds - std::exchange(exchanged_seconds_, seconds);
  }

 private:
  // Seconds for what a rank may do slowly: its first step, an evaluation, a checkpoint.
  static constexpr double kPatience = 300;

  Network& network_;
  Backend& backend_;
  bool patient_ = true;
  double exchanged_seconds_ = 0;
};

}  // namespace trainer
