// What a training says while it runs: lines for people, or one JSON value per line for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/train/loop.hpp"
#include "trainer/train/recorded_run.hpp"

namespace trainer {

// "99.10 +- 0.09 %", with the standard error that comes from the number of images.
std::string accuracy_text(const Score& score);
nlohmann::ordered_json score_json(const Score& score);

// With --json, prints a line with the event's name and `fields`: {"event": "epoch", ...}.
void print_event(Console& console, const char* event, const nlohmann::ordered_json& fields);

// What is printed before the first step of a training or a sprint: device, data, model, recipe, engine, and where the results go
// (`folder`; empty: nowhere). Lines, each ending in a newline.
std::string run_head(const PreparedRun& run, const std::string& folder);
// The labels of which there is no image to train on.
std::vector<std::string> labels_without_images(const Setup& setup);
// Warns of what lets a network learn less than its user expects.
void warn_of_data(Console& console, const Setup& setup);
inline constexpr const char* kTransposedNote =
    "EMNIST's files have rows and columns of every image exchanged, and a network trained on them misreads "
    "upright pictures; --transpose puts them upright";
// "epoch 1/2   train loss 0.2443   test 99.10 +- 0.09 %   1.83 s   32,800 images/s"
std::string epoch_line(const Setup& setup, const EpochRecord& record);

// What is known of the whole run when it has ended.
struct RunSummary {
  LoopResult result;
  std::vector<EpochRecord> epochs;    // the whole run's, earlier parts included
  std::optional<Score> first_images;  // on Recipe::report_test_first images
  double seconds = 0;                 // the whole run's, earlier parts included
  double seconds_to_first_step = 0;   // from the program's start
  std::optional<double> target;
  std::optional<ExchangeCount> exchange;  // of rank 0 with others, in this part of the run
  std::optional<double> energy_joules;    // what the GPU used in the whole run
  std::string digest;  // the digest of the weights is known with portable bits alone (digest.hpp)
  std::optional<nlohmann::ordered_json> digests_by_step;  // [{"step", "digest"}]
};

struct RunResults {
  std::string text;  // lines, each ending in a newline
  nlohmann::ordered_json json;
};
RunResults results_of(const PreparedRun& run, const RunSummary& summary);

// How the record of a run that ended for `reason` names its end.
struct Ending {
  const char* text;
  RunStatus status;
};
Ending ending_of(StopReason reason);

}  // namespace trainer
