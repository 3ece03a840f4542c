// `trainer sprint`: a network trained from scratch and tested, seed after seed, against the clock. The timed part is training +
// test: from the launch of the first step to the accuracy on the host, with the data set resident and everything prepared;
// drawing the initial weights is not part of it. All of it is recorded once, for all seeds; each seed is a single launch and a
// single read-back. The first seed is the cold one.
//   Its results are lines for people, and the same as data for run.json and --json.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/system/statistics.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/recorded_run.hpp"

namespace trainer {

// The network that a sprint takes without --model: the fastest one whose mean accuracy is at least the target (in per cent)
// on its kind of device with so many views of an uncertain test image, or else the most accurate one (README, "Sprint").
[[nodiscard]] const char* sprint_network(double target, bool on_gpu, int views);

struct SprintOptions {
  std::string model;         // empty: sprint_network
  std::optional<Spec> spec;  // the network itself, instead of `model`
  std::string data;          // empty: TRAINER_DATA or the shipped MNIST
  bool transpose = false;
  DeviceRequest device;
  OutputOptions output;
  std::uint64_t seeds = 30;
  std::uint64_t first_seed = 1;
  double target = 99;        // per cent
  std::optional<int> views;  // of an uncertain test image (trainer/train/evaluation.hpp) [the recipe's]
  bool no_process = false;   // skips timing a separate process for one seed
  Communicator* ranks =
      nullptr;  // several ranks share the seeds out; the first one prints, and keeps the record
};

// Runs all seeds of a sprint. Returns 0, or 130 or 143 after a signal. Throws on any other error.
int run_sprint(const Environment& environment, const SprintOptions& options);

struct SprintSeed {
  std::uint64_t seed = 0;
  Score test;  // all test images, with the weights after the last step
  double train_loss = 0;
  double train_accuracy = 0;
  double seconds = 0;  // of training + test
  // The digest of the weights, known with portable bits alone (trainer/train/digest.hpp). Of fixed length: ranks exchange these bytes.
  char digest[65] = "";
  std::optional<std::uint64_t> bad_step;  // first step whose loss was not finite: no result
};

// A network and its data on a device, trained from scratch as often as requested.
class Sprint {
 public:
  Sprint(Setup& setup, Backend& backend);
  void start_anew(std::uint64_t seed);  // draws the initial weights
  SprintSeed run();                     // timed; to be called once after each start_anew()
  const Network& network() const { return network_; }
  std::uint64_t images() const;  // for each training

 private:
  Score test_with_views();

  Setup& setup_;
  Backend& backend_;
  Network network_;
  ResidentData data_;
  std::unique_ptr<Recording> recording_;  // training, then the test unless it looks at several views
  std::optional<Inference> logits_, shifted_logits_;  // only where the test looks at several views
};

// Statistics over all seeds, in per cent and seconds.
struct SprintSummary {
  double mean = 0;
  double deviation = 0;       // over seeds; 0 for one
  double standard_error = 0;  // the mean's over seeds; for one seed, its test accuracy's
  double least = 0, most = 0;
  Spread seconds;   // without the first seed if there are more
  double cold = 0;  // the first seed's
  double images_per_second = 0;
};
SprintSummary summarize(const std::vector<SprintSeed>& seeds, std::uint64_t images);

// What is known at the end of a sprint.
struct SprintReport {
  std::vector<SprintSeed> seeds;  // at least one
  std::uint64_t images = 0;       // for each training
  double target = 99;             // per cent
  int views = 1;                  // of an uncertain test image: results with more are a class of their own
  std::optional<double> process_seconds;  // a separate process for one seed takes, from exec to exit
};

// "seed 3     99.05 +- 0.10 %   0.212 s"
std::string seed_line(const SprintSeed& seed);
// The seed as a line of metrics.jsonl: it takes the place of an epoch.
nlohmann::ordered_json seed_json(const Setup& setup, const SprintReport& report, std::size_t index);

std::string sprint_text(const SprintReport& report);  // lines, each ending in a newline
// "99.05 +- 0.01 %: 99 % reached" if the mean is at least the target, with a note if mean - standard error is below it.
std::string verdict_text(const SprintReport& report);
nlohmann::ordered_json sprint_json(const SprintReport& report);

}  // namespace trainer
