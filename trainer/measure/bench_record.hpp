// The record of a bench is one JSON object: settings, raw times and everything about the machine. Values that are derived from
// the raw times are in it for readers and are not read back.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/measure/bench.hpp"

namespace trainer {

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

}  // namespace trainer
