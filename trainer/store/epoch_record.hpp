// A line of metrics.jsonl: an evaluation of a run and the training since the one before. `train` writes it and reads it
// again where a run goes on; `runs` and its report read it. Of a sprint every line is a training from scratch, with a seed
// of its own, and tells less.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace trainer {

// Mean loss and fraction of correct answers over some images. A loss that was not finite is NaN.
struct Score {
  std::uint64_t images = 0;
  double loss = 0;
  double accuracy = 0;

  // Of the accuracy, as the finite number of test images gives it: sqrt(p (1 - p) / n). The deviation over
  // seeds is another thing, and larger.
  double standard_error() const;
};

struct EpochRecord {
  std::uint64_t epoch = 0;   // evaluations so far, from 1
  std::uint64_t step = 0;    // steps done
  std::uint64_t images = 0;  // seen in training since the last evaluation
  double train_loss = 0;     // mean over those images, each with the weights of its step
  double train_accuracy = 0;
  Score test = {};
  std::optional<Score> validation = {};
  double learning_rate = 0;  // of the last step
  double seconds = 0;        // of training since the last evaluation, evaluation left out
  double evaluation_seconds = 0;

  double images_per_second() const { return seconds > 0 ? static_cast<double>(images) / seconds : 0; }
};

nlohmann::ordered_json epoch_json(const EpochRecord& record);

// The records of a file; none where there is no file. What the scores are of, it does not say. Throws FileError with the
// line and the field.
struct ScoredImages {
  std::uint64_t test = 0;
  std::uint64_t validation = 0;
};
std::vector<EpochRecord> read_epochs(const std::filesystem::path& metrics, const ScoredImages& images);

}  // namespace trainer
