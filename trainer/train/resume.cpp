// Opening and checking a run that goes on.
#include "trainer/train/resume.hpp"

#include <fmt/format.h>

#include "trainer/console/json_lookup.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;

Resumed open_resumed(const Environment& environment, const std::string& run, ResumeAs as) {
  const fs::path found = resolve_run(run, environment.runs);
  const bool is_folder = fs::is_directory(found);
  const fs::path folder = is_folder ? found : found.parent_path();
  std::optional<RunFolder> writable;
  if (as == ResumeAs::writer) writable.emplace(RunFolder::reopen(folder));
  SafetensorsFile file = SafetensorsFile::read(is_folder ? found / kCheckpointName : found);
  SavedNetwork saved = read_saved_network(file);
  if (!saved.resumable) {
    throw FileError(
        fmt::format("{}: a model, not a checkpoint: it has no optimiser state to go on from; "
                    "resume the run's folder or its {}",
                    file.path().string(), kCheckpointName));
  }
  if (!is_folder && found.filename() != kCheckpointName) {
    throw FileError(fmt::format("--resume {}: a run goes on in its own folder; name the folder, or its {}",
                                found.string(), kCheckpointName));
  }
  Resumed resumed{folder, std::move(writable), std::move(file), std::move(saved), std::nullopt};
  const fs::path record_path = folder / kRunRecordName;
  if (fs::exists(record_path)) resumed.record = read_run_record(record_path);
  return resumed;
}

namespace {

void require_same_data(const Resumed& resumed, const data::Dataset& dataset) {
  const SavedNetwork& saved = resumed.saved;
  const Shape& s = dataset.shape;
  if (resumed.saved.fingerprint == dataset.fingerprint &&
      (s != saved.image || dataset.classes != saved.classes)) {
    throw FileError(
        fmt::format("{}: its network takes images of {}x{}x{} and tells {} classes apart, but its data set "
                    "{} has {}x{}x{} "
                    "and {}",
                    resumed.file.path().string(), saved.image.h, saved.image.w, saved.image.c, saved.classes,
                    dataset.path.string(), s.h, s.w, s.c, dataset.classes));
  }
  if (resumed.saved.fingerprint == dataset.fingerprint) return;
  throw UsageError(fmt::format(
      "--resume {}: it was trained on other data ({}) than {} ({}); name its data with --data",
      resumed.folder.string(), resumed.saved.fingerprint, dataset.path.string(), dataset.fingerprint));
}

}  // namespace

data::Dataset load_resumed_data(const Environment& environment, const Resumed& resumed,
                                const std::string& given) {
  const TrainSettings& settings = resumed.saved.settings;
  const data::LoadOptions options{settings.classes, settings.channels, settings.skip_bad_images};
  fs::path place;
  try {
    const std::string of_the_run = resumed.record ? resumed.record->data.path : "";
    place = data_folder(environment, given.empty() ? of_the_run : given);
  } catch (const data::DataError&) {
    if (!given.empty()) throw;
    place = data_folder(environment, "");
  }
  data::Dataset dataset = data::load_dataset(place, options);
  require_same_data(resumed, dataset);
  return dataset;
}

std::optional<double> recorded_energy(const Resumed& resumed) {
  if (!resumed.record) return std::nullopt;
  return find_number(resumed.record->results, {"energy_joules"});
}

std::string changed_engine(const Resumed& resumed, const DeviceInfo& info, Precision precision) {
  const SavedNetwork& saved = resumed.saved;
  const std::string started = saved.settings.precision.value_or("fp32");
  const std::string engine = engine_text(info);
  std::string change;
  if (started != precision_name(precision)) {
    change = fmt::format("this run was begun in {} and goes on in {}, which this device has", started,
                         precision_name(precision));
  } else if (saved.engine != engine) {
    change = fmt::format("this run was begun on {}; it goes on with {}", saved.engine, engine);
  } else if (info.kind == "cpu" && saved.threads != info.cpu.threads) {
    change = fmt::format("this run was begun with {} threads and goes on with {}", saved.threads,
                         info.cpu.threads);
  }
  return change.empty() ? "" : change + ": its last bits will differ from those of an unbroken run";
}

std::vector<EpochRecord> keep_earlier_metrics(const Resumed& resumed, const Setup& setup) {
  const fs::path path = resumed.folder / kMetricsName;
  if (!fs::exists(path)) return {};
  std::vector<EpochRecord> records;
  try {
    records = read_epochs(path, {setup.test.images, setup.validation.images});
  } catch (const FileError& error) {
    throw FileError(fmt::format("{}; take the file away to go on without it", error.what()));
  }
  std::erase_if(records, [&](const EpochRecord& r) { return r.epoch > resumed.saved.position.epochs; });
  std::string kept;
  for (const EpochRecord& record : records) kept += epoch_json(record).dump() + "\n";
  write_file_durably(path, kept);
  return records;
}

}  // namespace trainer
