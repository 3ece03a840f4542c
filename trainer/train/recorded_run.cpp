#include "trainer/train/recorded_run.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>
#include <new>
#include <unistd.h>
#include <utility>

#include "trainer/device/device_report.hpp"
#include "trainer/device/memory_need.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/version.hpp"
#include "trainer/train/digest.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

// The part of the record that depends on which libraries are open.
void describe_device(RunRecord& record, const PreparedRun& run) {
  const DeviceInfo& info = run.info;
  record.threads = info.cpu.threads;
  record.device = device_json(info, run.device.gpu_reason);
  record.device["report"] = device_report(info, run.device.gpu_reason);
  record.versions = versions_json(info);
  record.machine = machine_json(info);
}

// Command, network, recipe, data, machine: all that a reader needs to repeat the run. Its status is running, its start now.
RunRecord describe_run(const PreparedRun& run) {
  const Setup& setup = run.setup;
  RunRecord record;
  record.command = run.environment.arguments;
  record.model = setup.spec.name;
  record.spec_text = setup.spec.text;
  record.recipe = recipe_json(setup.spec.recipe);
  record.recipe["settings"] = to_json(setup.settings);
  record.seed = setup.settings.seed;
  describe_device(record, run);
  record.data = {(run.environment.runs.working_folder / setup.dataset.path).string(),
                 setup.dataset.fingerprint, setup.train.images, setup.validation.images, setup.test.images};
  record.program_version = kVersion;
  record.commit = kCommit;
  record.started = iso_time(std::time(nullptr));
  return record;
}

void require_same_data(const Resumed& resumed, const data::Dataset& dataset) {
  const SavedNetwork& saved = resumed.saved;
  const Shape& s = dataset.shape;
  if (saved.fingerprint != dataset.fingerprint)
    throw UsageError(
        fmt::format("--resume {}: it was trained on other data ({}{}) than {} ({}); name its data with "
                    "--data, wherever it is now",
                    resumed.folder.string(), saved.fingerprint,
                    resumed.record ? ", then in " + resumed.record->data.path : "", dataset.path.string(),
                    dataset.fingerprint));
  if (s != saved.image || dataset.classes != saved.classes)
    throw FileError(
        fmt::format("{}: its network takes images of {}x{}x{} and tells {} classes apart, but its data set "
                    "{} has {}x{}x{} and {}",
                    resumed.file.path().string(), saved.image.h, saved.image.w, saved.image.c, saved.classes,
                    dataset.path.string(), s.h, s.w, s.c, dataset.classes));
}

// The evaluations in the run's metrics.jsonl that its checkpoint includes; the others are cut off the file.
std::vector<EpochRecord> cut_to_checkpoint(const Resumed& resumed, const RunRecord::DataSet& data) {
  const fs::path path = resumed.folder / kMetricsName;
  if (!fs::exists(path)) return {};
  std::vector<EpochRecord> epochs;
  try {
    epochs = read_epochs(path, data);
  } catch (const FileError& error) {
    throw FileError(fmt::format("{}; take the file away to go on without it", error.what()));
  }
  std::erase_if(epochs,
                [&](const EpochRecord& epoch) { return epoch.epoch > resumed.saved.position.epochs; });
  std::string kept;
  for (const EpochRecord& epoch : epochs) kept += epoch_json(epoch).dump() + "\n";
  write_file_durably(path, kept);
  return epochs;
}

}  // namespace

void scale_batch(const RankOptions& ranks, const Recipe& recipe, TrainSettings& settings) {
  settings.batch = *ranks.batch_per_rank * (ranks.ranks == nullptr ? 1 : ranks.ranks->size());
  if (!settings.rate)
    settings.rate = recipe.schedule.rate * static_cast<double>(*settings.batch) / recipe.batch;
}

void PreparedRun::open_device(DeviceRequest request) {
  if (ranks.ranks != nullptr) {
    places = places_of(*ranks.ranks);
    share_machine(request, places);
  }
  request.plan_cache = environment.cache;
  device = choose_device(request);
  engine = request.engine;
  info = device.backend->info(Libraries::opened);
  if (info.kind == "cpu") require_address_space("a training", kUsualDataBytes, info.cpu.threads);
}

void PreparedRun::settle(Spec spec, TrainSettings settings, data::Dataset dataset) {
  settings.precision = precision_name(device.precision);
  settings.engine = engine;
  if (device.bits == Bits::portable) settings.bits = "portable";
  setup = make_setup(std::move(spec), settings, std::move(dataset));
  if (ranks.ranks != nullptr) {
    RankPart part = share_out(setup, *ranks.ranks);
    part.timeout = ranks.timeout;
    device.backend->join(part);
  }
  int slots = 0;
  for (const Optimizer& optimizer : setup.rule.optimizers)
    slots = std::max(slots, optimizer_slots(optimizer));
  require_memory(setup.plan, 2 + static_cast<std::uint64_t>(slots) + (setup.plan.average ? 1 : 0), info);
}

Resumed open_resumed(const Environment& environment, const std::string& run, bool writes) {
  const fs::path found = resolve_run(run, environment.runs);
  const bool is_folder = fs::is_directory(found);
  const fs::path folder = is_folder ? found : found.parent_path();
  std::optional<RunFolder> writable;
  if (writes) writable.emplace(RunFolder::reopen(folder));
  SafetensorsFile file = SafetensorsFile::read(is_folder ? found / kCheckpointName : found);
  SavedNetwork saved = read_saved_network(file);
  if (!saved.resumable)
    throw FileError(
        fmt::format("{}: a model, not a checkpoint: it has no optimiser state to go on from; "
                    "resume the run's folder or its {}",
                    file.path().string(), kCheckpointName));
  if (!is_folder && found.filename() != kCheckpointName)
    throw FileError(fmt::format("--resume {}: a run continues in its own folder; name the folder, or its {}",
                                found.string(), kCheckpointName));
  std::optional<RunRecord> record;
  if (fs::exists(folder / kRunRecordName)) record = read_run_record(folder / kRunRecordName);
  return {folder, std::move(writable), std::move(file), std::move(saved), std::move(record)};
}

data::Dataset load_resumed_data(const Environment& environment, const Resumed& resumed,
                                const std::string& given) {
  fs::path place;
  try {
    const std::string recorded = resumed.record ? resumed.record->data.path : "";
    place = data_folder(environment, given.empty() ? recorded : given);
  } catch (const data::DataError&) {
    if (!given.empty()) throw;
    place = data_folder(environment, "");
  }
  data::Dataset dataset = data::load_dataset(place, load_options(resumed.saved.settings));
  require_same_data(resumed, dataset);
  return dataset;
}

std::string changed_engine(const Resumed& resumed, const PreparedRun& run) {
  const SavedNetwork& saved = resumed.saved;
  const std::string before = saved.settings.precision.value_or("fp32");
  const std::string now = precision_name(run.device.precision);
  if (saved.settings.bits) return "";  // portable bits are the same on every machine
  std::string change;
  if (before != now)
    change = fmt::format("this run was begun in {} and continues in {}, which this device has", before, now);
  else if (const std::string engine = engine_text(run.info); saved.engine != engine)
    change = fmt::format("this run was begun on {}; it continues on {}", saved.engine, engine);
  return change.empty() ? "" : change + ": its last bits will differ from those of an unbroken run";
}

RecordedRun::RecordedRun(PreparedRun& run, const OutputOptions& output, const std::string& model,
                         Resumed* resumed)
    : run_(run), unseen_(output.no_save && output.quiet && !output.json && resumed == nullptr) {
  if (output.no_save) return;
  record = describe_run(run);
  if (resumed != nullptr) {
    reopen(*resumed);
  } else {
    const auto out = output.out.empty() ? std::nullopt : std::optional<fs::path>(output.out);
    folder_.emplace(
        RunFolder::create({model, run.setup.settings.seed, std::time(nullptr), out}, run.environment.runs));
  }
  record.process = process_json(folder_->path());
  write_run_record(file(kRunRecordName), record);  // first: by it --resume-if-there knows what a kill left
  metrics_.emplace(file(kMetricsName));
  if (output.folder != nullptr) *output.folder = folder_->path().string();
  if (output.tensorboard || !event_files(folder_->path()).empty()) open_events(output);
}

// Removes the model: it would be older than the checkpoints to come, which hold the same and more.
void RecordedRun::reopen(Resumed& resumed) {
  folder_.emplace(std::move(*resumed.writable));
  epochs = cut_to_checkpoint(resumed, record.data);
  std::error_code ignored;
  fs::remove(file(kModelName), ignored);
  if (!resumed.record) return;
  const RunRecord& earlier = *resumed.record;
  record.resumed = earlier.resumed;
  record.resumed.push_back({record.command, record.started, resumed.saved.position.step});
  record.command = earlier.command;
  record.started = earlier.started;
  earlier_seconds_ = earlier.seconds;
}

// A run whose events begin when it is resumed has those of its earlier epochs, too.
void RecordedRun::open_events(const OutputOptions& output) {
  const double now = time_of_day();
  const bool goes_on = !event_files(folder_->path()).empty();
  event_file_.emplace(file(event_file_name(now, std::to_string(::getpid()))));
  events_.emplace([this](const std::string& event) { event_file_->append(event, "an event"); }, record, now,
                  goes_on, epochs.empty() ? 0 : epochs.back().step);
  if (!goes_on)
    events_->add_earlier(read_metrics(file(kMetricsName)),
                         static_cast<double>(instant_of(record.started).value_or(0)));
  add_pictures_ = output.add_pictures;
}

double RecordedRun::seconds() const {
  return earlier_seconds_ + seconds_since(run_.start);
}

void RecordedRun::note_libraries() {
  if (unseen_) return;
  run_.info = run_.device.backend->info(Libraries::opened);
  describe_device(record, run_);
}

void RecordedRun::add_epoch(const EpochRecord& epoch) {
  epochs.push_back(epoch);
  add_metrics(epoch_json(epoch));
}

void RecordedRun::add_metrics(const nlohmann::ordered_json& line) {
  if (metrics_) metrics_->write(line);
  if (events_) events_->add_metrics(line, time_of_day());
}

void RecordedRun::add_weights(const Network& network) {
  if (events_) events_->add_weights(network);
}

void RecordedRun::save_checkpoint(const Network& network, const LoopPosition& position) {
  if (!folder_) return;
  metrics_->flush();
  if (event_file_) event_file_->flush();
  save_network(file(kCheckpointName), run_.setup, network, run_.info, &position);
}

void RecordedRun::save_model(const Network& network) const {
  if (folder_) save_network(file(kModelName), run_.setup, network, run_.info, nullptr);
}

void RecordedRun::close(RunStatus status, const std::string& reason) {
  if (!folder_) return;
  record.status = status;
  record.reason = reason;
  record.ended = iso_time(std::time(nullptr));
  record.seconds = seconds();
  write_run_record(file(kRunRecordName), record);
  if (!events_ || status == RunStatus::kFailed) return;
  events_->add_results(record.results);
  if (add_pictures_) add_pictures_(*events_, folder_->path());
}

int RecordedRun::guard(Console& console, const std::function<int()>& action) {
  try {
    if (folder_) console.keep_in(file(kOutputName));
    return action();
  } catch (const BackendError& error) {
    const std::string reason = error.what() + last_checkpoint_text();
    close_failed(reason, console);
    throw BackendError(reason);
  } catch (const std::exception& error) {
    const bool no_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
    close_failed(no_memory ? "out of memory" : error.what(), console);
    throw;
  }
}

std::string RecordedRun::last_checkpoint_text() const {
  if (!folder_ || !fs::exists(file(kCheckpointName))) return "";
  return fmt::format("; the last good checkpoint is {}", file(kCheckpointName).string());
}

// Another error is being handled and matters more than a failure to record it, which is only a warning.
void RecordedRun::close_failed(const std::string& reason, Console& console) {
  console.keep(fmt::format("error: {}\n", reason));
  try {
    close(RunStatus::kFailed, reason);
  } catch (const std::exception& error) {
    console.warning(fmt::format("the run's record could not be closed: {}", error.what()));
  }
}

}  // namespace trainer
