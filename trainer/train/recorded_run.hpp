// A run as its folder keeps it: run.json, which says "running" until the run is closed, and metrics.jsonl. It starts anew or
// resumes from its checkpoint; with --no-save nothing is kept. `train` and `sprint` share all of this, and differ in what they do
// between opening and closing.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/console/progress.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/tensorboard/run_events.hpp"
#include "trainer/train/checkpoint.hpp"
#include "trainer/train/rank_share.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// Adds pictures of the network in a run's folder to the run's events.
using PictureAdder = std::function<void(RunEvents&, const std::filesystem::path&)>;

// What a run prints and keeps.
struct OutputOptions {
  std::string out = {};  // its folder; empty: a new one in the runs folder
  bool no_save = false;
  bool json = false;
  bool quiet = false;
  bool tensorboard = false;  // a resumed run that has event files goes on with them in any case
  PictureAdder add_pictures = {};
  std::string* folder = nullptr;  // where the path of its folder is written once it is made
};

// The ranks of a run, if there are several.
struct RankOptions {
  Communicator* ranks = nullptr;           // null: one process
  double timeout = 10;                     // seconds that a rank may take for a step
  std::optional<int> batch_per_rank = {};  // instead of the recipe's batch, which is that of all ranks

  [[nodiscard]] bool is_first() const { return ranks == nullptr || ranks->rank() == 0; }
};

// Sets for --batch-per-rank the batch of all ranks, and a learning rate that grows with it (the linear rule of Goyal et al. 2017),
// unless one is given.
void scale_batch(const RankOptions& ranks, const Recipe& recipe, TrainSettings& settings);

// What a run trains with: settled before its folder is made.
struct PreparedRun {
  const Environment& environment;
  Clock::time_point start = Clock::now();
  DeviceChoice device = {};
  Setup setup = {};
  DeviceInfo info = {};         // names the libraries that are open
  std::string engine = "auto";  // --engine
  RankOptions ranks = {};
  RankPlaces places = {};

  // Opens the device of `request`, with the environment's plan cache.
  void open_device(DeviceRequest request);
  // Makes the setup for that device, in its precision and with its engine. Throws as make_setup and require_memory do.
  void settle(Spec spec, TrainSettings settings, data::Dataset dataset);
};

// A run to resume, with its checkpoint.
struct Resumed {
  std::filesystem::path folder;       // the run's
  std::optional<RunFolder> writable;  // the same, locked before the checkpoint was read; none: a reader
  SafetensorsFile file;
  SavedNetwork saved;
  std::optional<RunRecord> record;  // as the run left it; none if it is missing
};

// `run` is the run's folder or id, 'last', or the checkpoint's file. Who `writes` in the folder takes its lock first.
// Throws FileError: not found, damaged, no checkpoint, written by another process.
Resumed open_resumed(const Environment& environment, const std::string& run, bool writes);

// The data set of a run to resume: `given` (--data), where the run had it, or where data_folder finds one. It must hold the very
// images that the run was trained on; otherwise UsageError with both fingerprints and where it was.
data::Dataset load_resumed_data(const Environment& environment, const Resumed& resumed,
                                const std::string& given);

// A sentence on what has changed since the run's checkpoint and decides the last bits (precision, engine); empty if
// nothing has changed.
std::string changed_engine(const Resumed& resumed, const PreparedRun& run);

class RecordedRun {
 public:
  // Makes a new folder for `run` with a record of it, named after `model` and the settings' seed. With `resumed` it continues in
  // that run's folder and removes evaluations after the checkpoint: a kill may fall between the two, and they will be made again.
  // `run` outlives it. Throws FileError.
  RecordedRun(PreparedRun& run, const OutputOptions& output, const std::string& model,
              Resumed* resumed = nullptr);

  [[nodiscard]] bool is_kept() const { return folder_.has_value(); }
  [[nodiscard]] std::string path() const { return folder_ ? folder_->path().string() : ""; }
  [[nodiscard]] double seconds() const;  // all parts of the run together

  // Records again which libraries are open, after the network has opened some.
  void note_libraries();
  void add_epoch(const EpochRecord& epoch);
  void add_metrics(const nlohmann::ordered_json& line);
  void add_weights(const Network& network);  // to the run's events
  // Flushes what was added to the disk before it writes the checkpoint. Does nothing for a run that is not kept.
  void save_checkpoint(const Network& network, const LoopPosition& position);
  void save_model(const Network& network) const;
  void close(RunStatus status, const std::string& reason);

  // Returns the result of `action`, whose output is kept in the folder. If it throws, closes the record as failed; a device's error names the last good checkpoint.
  int guard(Console& console, const std::function<int()>& action);
  [[nodiscard]] std::string last_checkpoint_text() const;  // "; the last good checkpoint is ...", or empty

  RunRecord record;
  std::vector<EpochRecord> epochs;  // including those of earlier parts

 private:
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return folder_->file(name); }
  void reopen(Resumed& resumed);
  void open_events(const OutputOptions& output);
  void close_failed(const std::string& reason, Console& console);

  PreparedRun& run_;
  bool unseen_;  // the device report is neither shown nor kept
  std::optional<RunFolder> folder_;
  std::optional<JsonLinesFile> metrics_;
  std::optional<AppendedFile> event_file_;
  std::optional<RunEvents> events_;
  PictureAdder add_pictures_;
  double earlier_seconds_ = 0;
};

}  // namespace trainer
