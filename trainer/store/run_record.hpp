// The two records in a run's folder.
// run.json says what a run was, on what it ran, and how it ended. It is rewritten, whole and durably, when the run starts, when
// it ends, and whenever its status changes, so that it is right after a kill too (then it says "running"). Parts that other
// modules own (spec, recipe, device, machine, results) are JSON that this one only carries.
// metrics.jsonl has a line for each evaluation: its scores, and the training since the one before. `train` writes it and reads it
// again when it resumes a run; `runs` and its report read it. In a sprint's file each line is a training from scratch, with a
// seed of its own, and has fewer fields.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
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
  std::vector<std::string> command;  // argv with which the run started
  struct Resumption {
    std::vector<std::string> command;
    std::string started;     // iso_time
    std::uint64_t step = 0;  // steps done before it resumed
  };
  std::vector<Resumption> resumed;  // in chronological order
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
  nlohmann::ordered_json target;   // where `trainer submit` had it run; null: not submitted
  nlohmann::ordered_json process;  // process_json() of the part that began last; null in older records
};

// Where it ran: the name of the target, or "local" for a run that was not submitted.
[[nodiscard]] std::string target_name(const RunRecord& record);

// Whether the record holds only what was known when the run was submitted: the run's own has not arrived yet.
[[nodiscard]] bool is_submission(const RunRecord& record);

// "2026-01-01T09:30:00+01:00", local time with its zone.
[[nodiscard]] std::string iso_time(std::time_t time);

// The time that such a text names, in seconds since 1970 in UTC; its end may be missing, as in "2026-01". Without a zone it is local
// time. Nothing if the text is not a time.
[[nodiscard]] std::optional<std::time_t> instant_of(std::string text);

// This process, its machine since it was started (boot_id), and `folder`, which it writes: path and inode.
[[nodiscard]] nlohmann::ordered_json process_json(const std::filesystem::path& folder);

// Whether `record` was written in this very `folder`, by a process of this machine. If not, the folder is a copy, and nothing here
// tells whether its run continues. For a record without `process`, only the name of its machine is compared.
[[nodiscard]] bool was_written_here(const RunRecord& record, const std::filesystem::path& folder);

// Whether a process of another machine wrote `record` in this very `folder`, which both machines see. Nothing here tells whether that
// process still runs.
[[nodiscard]] bool was_written_elsewhere(const RunRecord& record, const std::filesystem::path& folder);

// Writes `record` durably. Throws FileError.
void write_run_record(const std::filesystem::path& path, const RunRecord& record);

// Reads a record back. Throws FileError with the path and the field: not JSON, a newer format, a field that is missing or of
// another type, an unknown status.
[[nodiscard]] RunRecord read_run_record(const std::filesystem::path& path);

// The record as it is in the file, including fields that this program does not know. Throws FileError: not JSON, a newer format.
[[nodiscard]] nlohmann::ordered_json read_run_record_json(const std::filesystem::path& path);

// Mean loss and fraction of correct answers over some images. A loss that was not finite is NaN.
struct Score {
  std::uint64_t images = 0;
  double loss = 0;
  double accuracy = 0;

  // The accuracy's standard error for this finite number of images: sqrt(p (1 - p) / n). The deviation over seeds is a different
  // quantity, and larger.
  [[nodiscard]] double standard_error() const;
};

struct EpochRecord {
  std::uint64_t epoch = 0;   // evaluations so far, from 1
  std::uint64_t step = 0;    // steps done
  std::uint64_t images = 0;  // seen in training since the last evaluation
  double train_loss = 0;     // mean over those images, each with the weights of its step
  double train_accuracy = 0;
  Score test = {};
  std::optional<Score> validation = {};
  double learning_rate = 0;  // at the last step
  double seconds = 0;        // of training since the last evaluation, without evaluations
  double evaluation_seconds = 0;
  std::optional<double> exchange_seconds = {};  // of `seconds`, where several ranks trained

  [[nodiscard]] double images_per_second() const {
    return seconds > 0 ? static_cast<double>(images) / seconds : 0;
  }
};

nlohmann::ordered_json epoch_json(const EpochRecord& record);

// The lines of a metrics.jsonl as they are in the file; none if there is no file. Throws FileError with the line.
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& metrics);

// The same as records; how many images are behind their scores, only the run's `data` says. Throws FileError with the line and the field.
std::vector<EpochRecord> read_epochs(const std::filesystem::path& metrics, const RunRecord::DataSet& data);

}  // namespace trainer
