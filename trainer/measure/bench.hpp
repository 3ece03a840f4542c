// `trainer bench`: the same trainings on every machine, timed, so that machines can be compared. kBenchVersion fixes what is
// timed: a change to the networks, batches, steps or the way to time them makes a new version.
//   An epoch is 60,000 images. Some of its steps are timed and scaled: enough for a clock, few enough for a
//   processor. Every repeat trains from the same start, so that all of them do the same work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
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

// The record of a bench is one JSON object: settings, raw times and everything about the machine. Values that are derived from
// the raw times are in it for readers and are not read back.
struct BenchRecord {
  BenchSettings settings;
  std::string date;    // iso_time of the start
  double seconds = 0;  // in all
  std::vector<std::string> command;
  std::string device_name;
  std::vector<BenchResult> results;
  bool was_busy = false;  // other programs ran before the start
  std::uint64_t peak_process_bytes = 0;
  std::string commit;             // empty: not built from a repository
  nlohmann::ordered_json before;  // state_json
  nlohmann::ordered_json after;
  nlohmann::ordered_json device;    // device_json
  nlohmann::ordered_json machine;   // machine_json
  nlohmann::ordered_json versions;  // versions_json
};

nlohmann::ordered_json to_json(const BenchRecord& record);

// Writes the record's JSON durably. Throws FileError.
void write_bench_record(const std::filesystem::path& path, const nlohmann::ordered_json& record);

// Throws FileError with the path and the reason: not JSON, not a bench record, a field that is missing or has another type, or a
// number that no measurement gives. If the record has another version, only its head is read.
[[nodiscard]] BenchRecord read_bench_record(const std::filesystem::path& path);

// What `trainer bench` prints: a table of the results and the lines below it.
std::string bench_table(const BenchRecord& record);
// The lines above it: what is timed, and how.
std::string bench_head(const BenchSettings& settings);

// `trainer bench --compare`: records side by side.
struct NamedRecord {
  std::string name;  // its path: for errors and the legend
  BenchRecord record;
};

// Rejects records that were not made in the same way: another version, other settings, another data set, a network of other sizes,
// or no precision in common. Throws UsageError with both names and the difference.
void require_comparable(const std::vector<NamedRecord>& records);

// Both need comparable records. What a record does not have is "-" or null; speeds are multiples of the first
// record's, from the medians.
std::string comparison_table(const std::vector<NamedRecord>& records);
nlohmann::ordered_json comparison_json(const std::vector<NamedRecord>& records);

// `trainer bench` on several ranks: what an exchange costs on their network, and how much faster they train together; in the terms of
// nccl-tests. The bandwidth of the algorithm is the gradient's bytes / time, that of the bus 2 (n - 1) / n times as much.
struct RanksBenchSettings {
  std::vector<std::size_t> sizes = {};  // bytes of plain exchanges, of 32 bits
  std::vector<Spec> gradients = {};     // networks whose gradients are exchanged
  std::vector<Spec> trainings = {};     // networks that are trained by rank 0 alone, and by all
  int repeats = 0;
  double exchange_seconds = 0;  // a repeat lasts so long, or at least one exchange, or three steps
  double training_seconds = 0;
};
// `shipped` are the shipped networks.
RanksBenchSettings ranks_bench_settings(bool quick, const std::vector<Spec>& shipped);

struct RanksBenchCall {
  Communicator& ranks;
  RanksBenchSettings settings;
  data::Dataset& dataset;                          // given back
  std::function<std::unique_ptr<Backend>()> open;  // makes a new backend
};
// Every rank calls it alike and gets the number of ranks and machines, a row for each exchange, with the time of the slowest rank, and one
// for each training, which rank 0 alone can fill. Throws RankLost.
nlohmann::ordered_json bench_ranks(const RanksBenchCall& call);
std::string ranks_bench_table(const nlohmann::ordered_json& bench);

}  // namespace trainer
