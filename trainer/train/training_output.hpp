// What a training says while it runs: lines for people, or one JSON value a line for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/store/run_record.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// "99.10 +- 0.09 %", the standard error of a fraction of correct answers among so many images.
std::string accuracy_text(const Score& score);

// The block before the first step: data, model, recipe, where the results go. Lines, each ended.
std::string training_head(const Setup& setup, const std::string& folder);
// "epoch 1/2   train loss 0.2443   test 99.10 +- 0.09 %   1.83 s   32,800 images/s"
std::string epoch_line(const Setup& setup, const EpochRecord& record);
nlohmann::ordered_json score_json(const Score& score);

// What the whole run came to.
struct RunSummary {
  LoopResult result;
  std::vector<EpochRecord> epochs;    // of the whole run, earlier parts included
  std::optional<Score> first_images;  // on Recipe::report_test_first images
  double seconds = 0;                 // of the whole run, earlier parts included
  double seconds_to_first_step = 0;   // from the program's start
  std::optional<double> target;
  std::optional<double> energy_joules;  // of the GPU, of the whole run
};
std::string summary_text(const Setup& setup, const RunSummary& summary);  // lines, each ended
nlohmann::ordered_json summary_json(const Setup& setup, const RunSummary& summary);

const char* reason_text(StopReason reason);
RunStatus status_of(StopReason reason);  // what a run that ended so is called in its record

}  // namespace trainer
