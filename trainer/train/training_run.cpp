// The order of things: what is wrong with the command, the data or the network shows before a folder is made,
// what is wrong with the folder before anything is trained.
#include "trainer/train/training_run.hpp"

#include <ctime>
#include <fmt/format.h>
#include <memory>

#include "trainer/console/progress.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/checkpoint.hpp"
#include "trainer/train/profile.hpp"
#include "trainer/train/recorded_run.hpp"
#include "trainer/train/resume.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

std::optional<Resumed> open_if_asked(const Environment& environment, const RunOptions& options) {
  if (options.resume.empty()) return std::nullopt;
  return open_resumed(environment, options.resume, options.no_save ? ResumeAs::reader : ResumeAs::writer);
}

data::Dataset load_data(const Environment& environment, const RunOptions& options,
                        const std::optional<Resumed>& resumed) {
  if (resumed) return load_resumed_data(environment, *resumed, options.data);
  const TrainSettings& settings = options.settings;
  return data::load_dataset(data_folder(environment, options.data),
                            {settings.classes, settings.channels, settings.skip_bad_images});
}

class TrainingRun final : public LoopObserver {
 public:
  TrainingRun(const Environment& environment, const RunOptions& options)
      : environment_(environment),
        options_(options),
        console_(stdout, {.quiet = options.quiet, .json = options.json}),
        resumed_(open_if_asked(environment, options)) {
    Spec spec = resumed_ ? resumed_->saved.spec : find_spec(options.model, models_folder(environment));
    device_ = choose_device(device_request(spec.recipe));
    TrainSettings settings = resumed_ ? resumed_->saved.settings : options.settings;
    settings.precision = precision_name(device_.precision);
    setup_ = make_setup(std::move(spec), settings, load_data(environment, options, resumed_));
    info_ = device_.backend->info(Libraries::opened);
    require_memory(setup_, info_);
  }

  int run() {
    signals_.emplace();
    open_folder();
    try {
      train();
      return finish();
    } catch (const BackendError& error) {
      const std::string reason = error.what() + good_checkpoint_text();
      recorded_.close_failed(reason, console_);
      throw BackendError(reason);
    } catch (const std::exception& error) {
      recorded_.close_failed(error.what(), console_);
      throw;
    }
  }

  void progressed(const LoopProgress& progress) override {
    if (first_step_seconds_ == 0) first_step_seconds_ = seconds_since(start_);
    const auto done = static_cast<double>(progress.step - progress.pass_begin);
    const auto all = static_cast<double>(progress.pass_end - progress.pass_begin);
    console_.progress(done / all, [&] {
      return fmt::format("epoch {}/{}  step {} of {}", epochs_done_ + 1, setup_.epochs(), progress.step,
                         progress.total_steps);
    });
  }

  void epoch_done(const EpochRecord& record) override {
    epochs_done_ = record.epoch;
    epochs_.push_back(record);
    recorded_.add_metrics(epoch_json(record));
    console_.line(epoch_line(setup_, record));
    ordered_json event = epoch_json(record);
    event["event"] = "epoch";
    console_.json(event);
  }

  void checkpoint_due(const LoopPosition& position) override {
    if (!recorded_.is_kept()) return;
    recorded_.flush_metrics();
    save_network(recorded_.file(kCheckpointName), setup_, *network_, info_, &position);
  }

  bool stop_asked() const override { return signals_->stop_signal() != 0; }

 private:
  // A run that goes on keeps its precision where the device has it.
  DeviceRequest device_request(const Recipe& recipe) const {
    DeviceRequest request{.device = options_.device,
                          .threads = options_.threads,
                          .precision = options_.settings.precision,
                          .wanted = recipe.precisions,
                          .deterministic = !options_.nondeterministic,
                          .plan_cache = environment_.cache,
                          .engine = options_.settings.engine};
    if (!resumed_) return request;
    request.engine = resumed_->saved.settings.engine;
    if (!request.threads) request.threads = resumed_->saved.threads;
    request.wanted = trained_precision(resumed_->saved);
    return request;
  }

  void open_folder() {
    if (options_.no_save) {
      console_.warning("NOTHING IS SAVED (--no-save): no checkpoint, no model, no record of this run");
      return;
    }
    RunFolder folder = resumed_ ? reopen_folder() : create_folder();
    RunRecord record = describe_run(environment_, setup_, info_, device_.gpu_reason);
    double earlier_seconds = 0;
    if (resumed_ && resumed_->record) {
      keep_earlier_epochs(record, *resumed_->record, resumed_->saved.position.step);
      earlier_seconds = resumed_->record->seconds;
    }
    recorded_.open(std::move(folder), std::move(record), earlier_seconds);
  }

  RunFolder create_folder() const {
    NewRun run{setup_.spec.name, setup_.settings.seed, std::time(nullptr), std::nullopt};
    if (!options_.out.empty()) run.out = options_.out;
    return RunFolder::create(run, environment_.runs);
  }

  // The model goes: it would be older than the checkpoints to come, which hold the same and more.
  RunFolder reopen_folder() {
    RunFolder folder = std::move(*resumed_->writable);
    epochs_ = keep_earlier_metrics(*resumed_, setup_);
    std::error_code ignored;
    fs::remove(folder.file(kModelName), ignored);
    return folder;
  }

  void train() {
    network_.emplace(setup_.plan, *device_.backend, Purpose::training, setup_.rule.optimizers);
    info_ = device_.backend->info(Libraries::opened);
    describe_device(recorded_.record, info_, device_.gpu_reason);
    LoopPosition start;
    StepState state;
    state.seed = setup_.settings.seed;
    if (resumed_) {
      load_tensors(resumed_->file, *network_);
      start = resumed_->saved.position;
      state = resumed_->saved.state;
    } else {
      network_->initialize(setup_.settings.seed);
    }
    network_->write_training_state(state);
    epochs_done_ = start.epochs;
    print_head(start);
    const ResidentData data(*device_.backend, setup_);
    if (const std::string& file = options_.profile; !file.empty())
      write_profile(file, setup_, *device_.backend, data, console_, [this] { return stop_asked(); });
    const LoopLimits limits{options_.target_accuracy, options_.max_seconds, options_.checkpoint_every.epochs,
                            options_.checkpoint_every.steps};
    const EnergyMeter energy(info_, resumed_ ? recorded_energy(*resumed_) : 0);
    summary_.result = run_loop(setup_, *network_, *device_.backend, data, limits, start, *this);
    summary_.energy_joules = energy.used();
    score_first_images(data);
  }

  void print_head(const LoopPosition& start) {
    console_.text(device_report(info_, device_.gpu_reason));
    console_.text(training_head(setup_, recorded_.path()));
    console_.text(engine_line(setup_.settings.engine, info_));
    if (resumed_) {
      console_.line(fmt::format("resumed       after step {} of {}, evaluations so far: {}", start.step,
                                setup_.total_steps, start.epochs));
      if (const std::string change = changed_engine(*resumed_, info_, device_.precision); !change.empty()) {
        console_.warning(change);
      }
    }
    ordered_json event{{"event", "run"}, {"model", setup_.spec.name}, {"seed", setup_.settings.seed}};
    event["folder"] = recorded_.path();
    event["precision"] = precision_name(device_.precision);
    event["engine"] = setup_.settings.engine;
    event["device"] = device_json(info_, device_.gpu_reason);
    event["plan"] = plan_json(setup_.plan, setup_.spec);
    console_.json(event);
  }

  // The samples that a network comes from printed their accuracy on some of the test images only.
  void score_first_images(const ResidentData& data) {
    const auto first = static_cast<std::uint32_t>(setup_.spec.recipe.report_test_first);
    if (first == 0 || first > setup_.test.images || summary_.result.reason == StopReason::bad_loss) return;
    Batching batching = setup_.test;
    batching.images = first;
    summary_.first_images =
        evaluate(*network_, *device_.backend, data.test_input(batching), [this] { return stop_asked(); });
  }

  int finish() {
    const StopReason reason = summary_.result.reason;
    const bool good = reason != StopReason::bad_loss;
    if (recorded_.is_kept() && good) {
      checkpoint_due(summary_.result.position);
      save_network(recorded_.file(kModelName), setup_, *network_, info_, nullptr);
    }
    summary_.epochs = epochs_;
    summary_.seconds = recorded_.seconds();
    summary_.seconds_to_first_step = first_step_seconds_;
    summary_.target = options_.target_accuracy;
    recorded_.record.results = summary_json(setup_, summary_);
    const int signal = reason == StopReason::signal ? signals_->stop_signal() : 0;
    recorded_.close(status_of(reason), good ? reason_text(reason) : bad_loss_text());
    print_end(signal);
    if (!good) return 1;
    return signal == 0 ? 0 : 128 + signal;
  }

  std::string bad_loss_text() const {
    return fmt::format(
               "step {}: the loss is not finite; nothing was changed from that step on. Try a lower --lr "
               "(now {:g})",
               summary_.result.bad_step + 1, setup_.rule.schedule.rate) +
           good_checkpoint_text();
  }

  std::string good_checkpoint_text() const {
    if (!recorded_.is_kept() || !fs::exists(recorded_.file(kCheckpointName))) return "";
    return fmt::format("; the last good checkpoint is {}", recorded_.file(kCheckpointName).string());
  }

  void print_end(int signal) {
    const StopReason reason = summary_.result.reason;
    if (reason == StopReason::bad_loss) console_.error(bad_loss_text());
    const std::uint64_t step = summary_.result.position.step;
    if (signal != 0) console_.line(fmt::format("stopped       by signal {} after step {}", signal, step));
    if (reason == StopReason::time_limit) console_.line("stopped       by --max-seconds");
    console_.text(summary_text(setup_, summary_));
    if (recorded_.is_kept()) console_.text(report_line("results", recorded_.path()));
    const bool resumable = signal != 0 || reason == StopReason::time_limit;
    if (recorded_.is_kept() && resumable) {
      console_.line(fmt::format("{:<14}trainer train --resume {}", "go on with", recorded_.path()));
    }
    ordered_json event{{"event", "end"}};
    event.update(summary_json(setup_, summary_));
    console_.json(event);
  }

  Clock::time_point start_ = Clock::now();
  RecordedRun recorded_;
  const Environment& environment_;
  const RunOptions& options_;
  Console console_;
  std::optional<Resumed> resumed_;
  DeviceChoice device_;
  Setup setup_;
  DeviceInfo info_;
  std::optional<Network> network_;
  std::optional<SignalGuard> signals_;
  RunSummary summary_;
  std::vector<EpochRecord> epochs_;
  std::uint64_t epochs_done_ = 0;
  double first_step_seconds_ = 0;
};

}  // namespace

int run_training(const Environment& environment, const RunOptions& options) {
  return TrainingRun(environment, options).run();
}

}  // namespace trainer
