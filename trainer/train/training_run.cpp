// The order matters: errors in the command, the data or the network show before a folder is made, and errors of the folder before
// anything is trained.
#include "trainer/train/training_run.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>

#include "trainer/console/json_lookup.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/profile.hpp"
#include "trainer/train/training_observer.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

class TrainingRun {
 public:
  TrainingRun(const Environment& environment, const RunOptions& options)
      : options_(options),
        run_{.environment = environment, .ranks = options.ranks},
        setup_(run_.setup),
        console_(stdout, {.quiet = options.output.quiet,
                          .json = options.output.json,
                          .bar = options.ranks.ranks == nullptr,
                          .messages = options.ranks.is_first() ? stderr : nullptr}),
        resumed_(options.resume.empty()
                     ? std::nullopt
                     : std::optional(open_resumed(environment, options.resume, !options.output.no_save))) {
    TrainSettings settings = resumed_ ? resumed_->saved.settings : options.settings;
    std::optional<SavedNetwork> start;
    if (!options.from.empty()) {
      from_ = SafetensorsFile::read(model_file(resolve_run(options.from, environment.runs)));
      start = read_saved_network(*from_);
      settings.from = std::filesystem::absolute(from_->path()).string();
      settings.from_sha256 = from_->text(std::string(kContentHashKey));
    }
    if (resumed_ && options.settings.epochs) settings.epochs = options.settings.epochs;
    Spec spec = resumed_                ? resumed_->saved.spec
                : options.spec          ? *options.spec
                : options.model.empty() ? start->spec
                                        : find_spec(options.model, models_folder(environment));
    if (options.ranks.batch_per_rank) scale_batch(options.ranks, spec.recipe, settings);
    DeviceRequest device = options.device;
    device.batch = settings.batch.value_or(spec.recipe.batch);
    if (device.wanted.is_empty()) device.wanted = spec.recipe.precisions;
    if (resumed_) {  // it keeps its precision if the device supports it
      device.engine = settings.engine;
      device.bits = settings.bits;
      if (!device.threads) device.threads = resumed_->saved.threads;
      device.wanted = trained_precision(resumed_->saved.settings);
    }
    run_.open_device(device);
    if (options.limits.digest_steps > 0 && run_.device.bits != Bits::portable)
      throw UsageError("--digest-every goes with --bits portable: other bits differ between machines");
    run_.settle(std::move(spec), settings,
                resumed_
                    ? load_resumed_data(environment, *resumed_, options.data)
                    : data::load_dataset(data_folder(environment, options.data), load_options(settings)));
    if (from_) require_weights(*from_, setup_.plan, new_head());
    if (resumed_ && options.settings.epochs) require_more_epochs();
  }

  int run() {
    const SignalGuard signals;
    if (options_.output.no_save)
      console_.warning("NOTHING IS SAVED (--no-save): no checkpoint, no model, no record of this run");
    RecordedRun recorded(run_, options_.output, setup_.spec.name, resumed_ ? &*resumed_ : nullptr);
    return recorded.guard(console_, [&] { return train(recorded, signals); });
  }

 private:
  bool new_head() const { return setup_.settings.new_head.value_or(false); }

  // --resume with --epochs asks for this. An evaluation within an epoch, where the run had ended, is replaced by that of the whole epoch.
  void require_more_epochs() {
    LoopPosition& at = resumed_->saved.position;
    if (setup_.total_steps <= at.step)
      throw UsageError(fmt::format(
          "--epochs {}: these are {} steps, and the run {} has done {} already; give the number of all its "
          "epochs, earlier ones included",
          *setup_.settings.epochs, setup_.total_steps, resumed_->folder.string(), at.step));
    at.epochs = std::min(at.epochs, epoch_of(setup_.train, at.step));
  }

  // Reports how the learning rate continues after --epochs has changed the run's length.
  void print_new_schedule(std::uint64_t step) {
    if (!options_.settings.epochs || step == 0) return;
    Schedule before = setup_.rule.schedule;
    const std::optional<double> recorded =
        resumed_->record ? find_number(resumed_->record->results, {"total_steps"}) : std::nullopt;
    before.steps = std::max(step, static_cast<std::uint64_t>(recorded.value_or(0)));
    const float was = learning_rate(before, step - 1, epoch_of(setup_.train, step - 1));
    const float is = learning_rate(setup_.rule.schedule, step, epoch_of(setup_.train, step));
    const std::string text =
        fmt::format("recomputed over all {} epochs: the learning rate was {:g} and continues at {:g}",
                    setup_.epochs(), was, is);
    constexpr float kNearlyZero = 0.01F;  // a fraction of the peak rate
    if (was < kNearlyZero * setup_.rule.schedule.rate)
      console_.warning("the run's schedule had ended at a learning rate of nearly 0; it is " + text);
    else
      console_.text(report_line("schedule", text));
  }

  int train(RecordedRun& recorded, const SignalGuard& signals) {
    Backend& backend = *run_.device.backend;
    Network network(setup_.plan, backend, Purpose::training, setup_.rule.optimizers);
    recorded.note_libraries();
    const LoopPosition start = load_start(network);
    if (run_.ranks.ranks != nullptr)
      require_same_training(setup_, precision_name(run_.device.precision), network, start.step,
                            *run_.ranks.ranks);
    print_head(recorded.path(), start);
    const ResidentData data(backend, setup_);
    TrainingObserver observer(run_, network, recorded, console_, signals, options_.limits, start.epochs);
    const std::function<bool()> stop_asked = [&observer] { return observer.stop_asked(); };
    if (!options_.profile.empty())
      write_profile(options_.profile, setup_, backend, data, console_, stop_asked);
    const EnergyMeter energy(run_.info, earlier_energy());
    RunSummary summary;
    summary.result = run_loop(setup_, network, backend, data, options_.limits, start, observer);
    summary.energy_joules = energy.used();
    if (network.exchange() != nullptr) summary.exchange = network.exchange()->count();
    summary.seconds_to_first_step = observer.first_step_seconds();
    const bool good = summary.result.reason != StopReason::bad_loss;
    if (good && run_.device.bits == Bits::portable) summary.digest = digest_of(network);
    if (options_.limits.digest_steps > 0) summary.digests_by_step = with_earlier(observer.digests_by_step());
    // The sample programs that some networks come from printed their accuracy on only some of the test images.
    Batching first = setup_.test;
    first.images = static_cast<std::uint32_t>(setup_.spec.recipe.report_test_first);
    if (good && first.images > 0 && first.images <= setup_.test.images)
      summary.first_images = evaluate(network, backend, data.test_input(first), stop_asked);
    if (good) {
      recorded.save_checkpoint(network, summary.result.position);
      recorded.save_model(network);
    }
    return finish(recorded, summary, signals.stop_signal());
  }

  // The digests of steps, behind those that earlier parts of the run left up to its checkpoint.
  nlohmann::ordered_json with_earlier(const nlohmann::ordered_json& digests) const {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    if (resumed_ && resumed_->record) {
      const nlohmann::ordered_json* earlier = find_value(resumed_->record->results, {"digests_by_step"});
      if (earlier != nullptr) all = *earlier;
      while (!all.empty() && all.back().at("step") > resumed_->saved.position.step) all.erase(all.size() - 1);
    }
    all.insert(all.end(), digests.begin(), digests.end());
    return all;
  }

  // Joules that the GPU used for earlier parts of the run; nothing if unknown.
  std::optional<double> earlier_energy() const {
    if (!resumed_) return 0;
    return resumed_->record ? find_number(resumed_->record->results, {"energy_joules"}) : std::nullopt;
  }

  // Gives the network its initial weights, or those of the checkpoint, and returns the position to start from.
  LoopPosition load_start(Network& network) const {
    StepState state;
    state.seed = setup_.settings.seed;
    if (resumed_) {
      load_tensors(resumed_->file, network);
      if (setup_.settings.gradient_bits && network.exchange() != nullptr)
        load_residuals(resumed_->file, network);
      state = resumed_->saved.state;
      if (!run_.ranks.is_first()) state.clear_sums();  // rank 0 has those of the epoch in progress
    } else {
      network.initialize(setup_.settings.seed);
      if (from_) load_weights(*from_, network, new_head());
    }
    network.write_training_state(state);
    return resumed_ ? resumed_->saved.position : LoopPosition{};
  }

  void print_head(const std::string& folder, const LoopPosition& start) {
    console_.text(run_head(run_, folder));
    if (from_)
      console_.text(report_line("start", fmt::format("weights of {}{}", *setup_.settings.from,
                                                     new_head() ? ", with a new last layer" : "")));
    if (resumed_) {
      console_.line(fmt::format("resumed       after step {} of {}, evaluations so far: {}", start.step,
                                setup_.total_steps, start.epochs));
      if (start.step >= setup_.total_steps)
        console_.line("              it has ended: nothing is left to train; --epochs N trains it further");
      print_new_schedule(start.step);
      if (const std::string change = changed_engine(*resumed_, run_); !change.empty())
        console_.warning(change);
    }
    warn_of_data(console_, setup_);
    print_event(console_, "run",
                {{"model", setup_.spec.name},
                 {"seed", setup_.settings.seed},
                 {"folder", folder},
                 {"precision", precision_name(run_.device.precision)},
                 {"engine", setup_.settings.engine},
                 {"bits", setup_.settings.bits.value_or("fast")},
                 {"labels_without_images", labels_without_images(setup_)},
                 {"device", device_json(run_.info, run_.device.gpu_reason)},
                 {"plan", plan_json(setup_.plan, setup_.spec)}});
  }

  // Closes the record, prints the end and returns the exit status.
  int finish(RecordedRun& recorded, RunSummary& summary, int stop_signal) {
    const StopReason reason = summary.result.reason;
    const bool good = reason != StopReason::bad_loss;
    // Another rank may have got the signal alone.
    const int signal = reason != StopReason::signal ? 0 : stop_signal != 0 ? stop_signal : SIGTERM;
    summary.epochs = recorded.epochs;
    summary.seconds = recorded.seconds();
    summary.target = options_.limits.target_accuracy;
    const RunResults results = results_of(run_, summary);
    recorded.record.results = results.json;
    const Ending ending = ending_of(reason);
    const std::string text =
        good ? ending.text
             : fmt::format(
                   "step {}: the loss is not finite; nothing was changed from that step on. Try a lower "
                   "--lr (now {:g}){}",
                   summary.result.bad_step + 1, setup_.rule.schedule.rate, recorded.last_checkpoint_text());
    recorded.close(ending.status, text);
    if (!good) console_.error(text);
    if (signal != 0)
      console_.line(
          fmt::format("stopped       by signal {} after step {}", signal, summary.result.position.step));
    if (reason == StopReason::time_limit) console_.line("stopped       by --max-seconds");
    if (reason == StopReason::step_limit) console_.line("stopped       by --max-steps");
    console_.text(results.text);
    if (recorded.is_kept()) {
      console_.text(report_line("results", recorded.path()));
      if (signal != 0 || reason == StopReason::time_limit || reason == StopReason::step_limit)
        console_.line(fmt::format("{:<14}trainer train --resume {}", "go on with", recorded.path()));
    }
    print_event(console_, "end", recorded.record.results);
    if (!good) return 1;
    return signal == 0 ? 0 : 128 + signal;
  }

  const RunOptions& options_;
  PreparedRun run_;
  const Setup& setup_;
  Console console_;
  std::optional<Resumed> resumed_;
  std::optional<SafetensorsFile> from_;  // --from
};

}  // namespace

int run_training(const Environment& environment, const RunOptions& options) {
  RunOptions own = options;
  if (!options.ranks.is_first()) own.output = {.no_save = true, .quiet = true};
  return TrainingRun(environment, own).run();
}

}  // namespace trainer
