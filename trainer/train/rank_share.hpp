// What a training on several ranks needs besides the exchange within its steps: each rank's rows and images, sums over all ranks,
// and the proof at the start that all of them train the same network on the same data.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
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

}  // namespace trainer
