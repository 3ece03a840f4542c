// run.json: what a run was, on what it ran, and how it ended. It is rewritten, whole and durably, when the
// run starts, when it ends, and whenever its status changes, so that it is right after a kill too (then it
// says "running"). Parts that other modules own (spec, recipe, device, machine, results) are JSON that this
// one only carries.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

inline constexpr int kRunRecordFormat = 1;

enum class RunStatus {
  kRunning,
  kFinished,
  kStopped,  // by a signal or a time limit, with everything saved; `reason` says which
  kFailed,   // `reason` is the error's message
};

// "running", "finished", "stopped" or "failed".
[[nodiscard]] std::string_view name_of(RunStatus status);

struct RunRecord {
  RunStatus status = RunStatus::kRunning;
  std::string reason;
  std::vector<std::string> command;  // argv, of the run's beginning
  struct Resumption {
    std::vector<std::string> command;
    std::string started;     // iso_time
    std::uint64_t step = 0;  // done when it went on
  };
  std::vector<Resumption> resumed;  // each time that it went on, the first one first
  std::string model;
  std::string spec_text;  // the model's YAML as it was read
  nlohmann::ordered_json recipe;
  std::uint64_t seed = 0;
  int threads = 0;
  nlohmann::ordered_json device;
  struct DataSet {
    std::string path;
    std::string fingerprint;
    std::uint64_t train_images = 0;
    std::uint64_t validation_images = 0;
    std::uint64_t test_images = 0;
  } data;
  std::string program_version;
  std::string commit;               // empty: not built from a repository
  nlohmann::ordered_json versions;  // compiler, libraries
  nlohmann::ordered_json machine;
  std::string started;  // iso_time
  std::string ended;    // empty while it runs
  double seconds = 0;   // total, over all parts of a run that was continued
  nlohmann::ordered_json results;
  nlohmann::ordered_json target;  // where `trainer submit` had it run; null: not submitted
};

// Where it ran: the name of the target, "local" of a run that was not submitted.
[[nodiscard]] std::string target_name(const RunRecord& record);

// Whether the record holds only what was known when the run was submitted: the run's own has not come yet.
[[nodiscard]] bool is_submission(const RunRecord& record);

// "2026-01-01T09:30:00+01:00", local time with its zone.
[[nodiscard]] std::string iso_time(std::time_t time);

// Makes `record`, that of a run which goes on after `step` steps, continue `earlier`: command and start are
// those of the beginning, its own join the list of resumptions.
void keep_earlier_epochs(RunRecord& record, const RunRecord& earlier, std::uint64_t step);

// Writes `record` durably. Throws FileError.
void write_run_record(const std::filesystem::path& path, const RunRecord& record);

// Reads a record back. Throws FileError with the path and the field: not JSON, a newer format, a field that
// is missing or of another kind, an unknown status.
[[nodiscard]] RunRecord read_run_record(const std::filesystem::path& path);

// The record as the file has it, fields that this program does not know included. Throws FileError: not JSON,
// a newer format.
[[nodiscard]] nlohmann::ordered_json read_run_record_json(const std::filesystem::path& path);

}  // namespace trainer
