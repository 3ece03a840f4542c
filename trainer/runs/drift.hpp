// How a training that was done again compares with the first one.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/runs/known_accuracies.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/runs/weight_differences.hpp"

namespace trainer {

// The accuracy over seeds that is known for a run: it trained a shipped network, unchanged, to the end of its own recipe or for
// another number of epochs that was measured, on all of the shipped MNIST. `models` is the folder of the shipped networks.
// Null if there is none.
[[nodiscard]] const KnownAccuracy* known_accuracy(const KnownRun& run, const std::filesystem::path& models);

struct Drift {
  nlohmann::ordered_json differences = {};  // configuration, data, versions and machine
  std::vector<TensorDifference> weights = {};
  double before = 0, now = 0;            // accuracies on the test images, per cent
  const KnownAccuracy* known = nullptr;  // what is known of the second run
  double allowed = 0;                    // three standard errors, in points
  std::size_t parts = 0;                 // how often the first one was resumed
  std::string first = {}, run = {};      // the ids of both

  [[nodiscard]] bool same_bits() const { return first_difference(weights) == nullptr; }
  // Whether `now` is less than `allowed` away from the mean over seeds; true without one.
  [[nodiscard]] bool is_within() const;
  // 0: the same bits; 3: other bits, within three standard errors or without a known accuracy; 4: beyond.
  [[nodiscard]] int status() const;
};

// The standard error is that of the difference between the mean over the known seeds and the mean over the run's own (1, or those
// of a sprint): deviation * sqrt(1 / known seeds + 1 / own seeds). Throws FileError if one of the runs holds no network or was not
// tested.
[[nodiscard]] Drift drift_between(const KnownRun& before, const KnownRun& now,
                                  const std::filesystem::path& models);

[[nodiscard]] std::string drift_text(const Drift& drift);
[[nodiscard]] nlohmann::ordered_json drift_json(const Drift& drift);

}  // namespace trainer
