// What a training on several ranks needs besides the exchange within its steps: each rank's rows and images, sums over all ranks,
// the proof at the start that all of them train the same network on the same data, and what the loop does so that all do the same.
#pragma once

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/communicator.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// `own` of every rank, in their order. T is copied byte by byte.
template <typename T>
std::vector<T> gathered(const T& own, Communicator& ranks) {
  std::vector<T> all(static_cast<std::size_t>(ranks.size()));
  std::vector<std::size_t> borders;
  for (std::size_t r = 0; r <= all.size(); ++r) borders.push_back(r * sizeof(T));
  all[static_cast<std::size_t>(ranks.rank())] = own;
  ranks.all_gather(all.data(), borders);
  return all;
}

// The text that a rank sent in a field of its own, to the first zero or to the end.
template <std::size_t N>
std::string_view sent_text(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

// Gives this rank its rows of every batch: the plan and the batches of the setup become its own; the recipe's batch stays that of all
// ranks together. Throws UsageError: more ranks than images of a batch, or a number of them that portable bits do not have.
RankPart share_out(Setup& setup, Communicator& ranks);

// This rank's part of the images that an evaluation covers, in batches of as many rows as it has.
Batching part_of(const Batching& whole, const RankPart& part, std::uint32_t rows);

// The sums of loss, correct answers and images over all ranks, added in their order. Nothing if one of them is not `done`.
std::optional<StepState> sums_of_all(const StepState& own, bool done, const RankPart& part);

// Where the ranks are, by the names of their machines.
struct RankPlaces {
  int machines = 1;
  int on_this_machine = 1;
  int place = 0;  // of this rank, among those on its machine
};
RankPlaces places_of(Communicator& ranks);
// Completes what a rank asks of its machine: auto and cuda are the GPU of its own place there; on a CPU it gets its part of the cores
// that this process may use. Throws UsageError if there are fewer GPUs than ranks.
void share_machine(DeviceRequest& request, const RankPlaces& places);

// Throws UsageError, on every rank, with the first rank whose program, data, settings or first weights differ from rank 0's, and in
// which. `step` is the one that the training goes on from.
void require_same_training(const Setup& setup, const std::string& precision, const Network& network,
                           std::uint64_t step, Communicator& ranks);

// What the training loop does so that several ranks do the same: nothing on one.
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
