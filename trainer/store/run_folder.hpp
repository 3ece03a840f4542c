// Where a run's results go, and how a later command finds them again.
//   runs/20260101-093000-quick-1/   run.json  metrics.jsonl  output.log  model.safetensors  checkpoint.safetensors
// A folder is made and proved writable before training starts, and locked while a process writes in it. The
// lock is the kernel's (flock): it ends with the process, however that ends.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/system/files.hpp"

namespace trainer {

inline constexpr std::string_view kRunRecordName = "run.json";
inline constexpr std::string_view kMetricsName = "metrics.jsonl";
inline constexpr std::string_view kOutputName = "output.log";  // the messages of the run
inline constexpr std::string_view kModelName = "model.safetensors";
inline constexpr std::string_view kCheckpointName = "checkpoint.safetensors";
inline constexpr std::string_view kPageName = "report.html";  // what `trainer runs report` writes
inline constexpr std::string_view kEventsPrefix = "events.out.tfevents.";  // a file for each part of a run

// Whether the program itself writes a file of that name in a run's folder, or a kill may leave it there: ".NAME.partial", ".probe".
[[nodiscard]] bool is_run_file(std::string_view name);

// The names of the event files in a folder, sorted; none if it does not exist.
[[nodiscard]] std::vector<std::string> event_files(const std::filesystem::path& folder);

// Where folders are, as the environment says. Read once, by main.
struct RunEnvironment {
  std::filesystem::path working_folder;     // relative paths start here
  std::optional<std::string> trainer_runs;  // $TRAINER_RUNS, if it has a value
  bool inside_container = false;            // errors then advise mounting a folder of the host
};

// $TRAINER_RUNS, or runs/ in the working folder.
[[nodiscard]] std::filesystem::path runs_folder(const RunEnvironment& environment);

struct NewRun {
  std::string model;  // characters other than A-Z a-z 0-9 . _ - become '-'
  std::uint64_t seed = 0;
  std::time_t started = 0;                   // the folder is named after it, in local time
  std::optional<std::filesystem::path> out;  // --out: exactly this folder
};

// A folder that only this process may write. Move-only.
class RunFolder {
 public:
  // Makes the folder: `out`, which must be new or hold nothing but what a kill leaves, or a new one in the runs folder (-2, -3 ... is
  // appended to a name that is taken). Throws FileError with the reason and the choices.
  [[nodiscard]] static RunFolder create(const NewRun& run, const RunEnvironment& environment);
  // An existing run's folder, to continue it. Throws FileError.
  [[nodiscard]] static RunFolder reopen(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return path_ / name; }

 private:
  explicit RunFolder(std::filesystem::path path);  // locks it, writes to it, removes what a kill left

  std::filesystem::path path_;
  Descriptor lock_;
};

// Whether a process holds the folder's lock, that is, whether a run is being written. A folder on a file system without locks
// counts as held, since nothing says otherwise. This takes the lock for a moment; a process that wants the folder just then is
// refused.
[[nodiscard]] bool is_being_written(const std::filesystem::path& folder);

// Resolves RUN_OR_FILE: an existing file; an existing run folder; `last`, the run that was written last; the name of a run in the
// runs folder; a registered network (registry.hpp); a prefix that only one run has. Returns a file or a run folder. Throws FileError, which lists the candidates. (For
// a file or folder that is itself called last, write ./last.)
[[nodiscard]] std::filesystem::path resolve_run(const std::string& run_or_file,
                                                const RunEnvironment& environment);

// The file to load a network from: the file itself; a run's model.safetensors, or its checkpoint if it has none yet.
[[nodiscard]] std::filesystem::path model_file(const std::filesystem::path& run_or_file);

}  // namespace trainer
