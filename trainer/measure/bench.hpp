// `trainer bench`: the same trainings on every machine, timed, so that machines can be compared. kBenchVersion fixes what is
// timed: a change to the networks, batches, steps or the way to time them makes a new version.
//   An epoch is 60,000 images. Some of its steps are timed and scaled: enough for a clock, few enough for a
//   processor. Every repeat trains from the same start, so that all of them do the same work.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "trainer/device/device_limits.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

inline constexpr int kBenchVersion = 1;

struct BenchSubject {
  std::string model;
  int batch = 0;
  std::uint64_t steps = 0;  // minimum in one repeat
};

struct BenchSettings {
  int version = kBenchVersion;
  bool quick = false;
  std::uint64_t warmup_steps = 0;  // minimum before a subject's first repeat
  double warmup_seconds = 0;       // minimum too: a GPU's clocks rise under load
  double least_seconds = 0;        // a repeat runs further `steps` until then
  int repeats = 0;
  std::uint64_t epoch_images = 60'000;
  std::uint64_t seed = 1;
  std::string data;             // the data set's fingerprint
  std::string engine = "auto";  // --engine and --bits: records of both can be compared
  std::string bits = "fast";
  std::vector<BenchSubject> subjects;
};

// The settings of this version, without the data set's fingerprint.
BenchSettings bench_settings(bool quick);

// The precisions that a device supports for products; bench runs all of them.
std::vector<std::string> bench_precisions(const DeviceInfo& info);

struct BenchRepeat {
  std::uint64_t steps = 0;
  std::uint64_t images = 0;
  double seconds = 0;  // of training, without evaluation
};

// The times of a subject in one precision.
struct BenchResult {
  BenchSubject subject;
  std::string precision;
  std::uint64_t parameters = 0;
  std::uint64_t training_flops = 0;  // forward and backward of one image, as the plan counts them
  std::uint64_t memory_bytes = 0;    // what the network takes on the device, without the data set
  DeviceLimit peak;                  // FLOP a second
  std::vector<BenchRepeat> repeats;
};

Spread epoch_seconds(const BenchResult& result, std::uint64_t epoch_images);
double images_per_second(const BenchResult& result);  // median
// 1 means that every operation ran at the peak. Absent if the peak is unknown.
std::optional<double> fraction_of_peak(const BenchResult& result);

// Trains `setup`'s network on `backend`, warms up and times the repeats. `repeat_done` is called with the number of finished
// repeats, 0 after the warm-up. The caller fills in precision and peak. Throws std::runtime_error if a loss is not finite: such a
// step trains nothing.
BenchResult time_training(const Setup& setup, Backend& backend, const BenchSettings& settings,
                          const BenchSubject& subject, const std::function<void(int)>& repeat_done);

}  // namespace trainer
