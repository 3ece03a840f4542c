// Prepares a sprint, keeps its record and prints its results.
#include <fmt/format.h>
#include <future>

#include "trainer/console/progress.hpp"
#include "trainer/measure/sprint.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

class SprintRun {
 public:
  SprintRun(const Environment& environment, const SprintOptions& options)
      : options_(options),
        run_{environment},
        setup_(run_.setup),
        console_(stdout, {.quiet = options.output.quiet,
                          .json = options.output.json,
                          .bar = options.ranks == nullptr,
                          .messages = is_first() ? stderr : nullptr}) {
    report_.target = options.target;
    DeviceRequest device = options.device;
    const auto model = [&](const std::string& name) { return find_spec(name, models_folder(environment)); };
    std::optional<Spec> spec = options.spec;
    if (!spec && !options.model.empty()) spec = model(options.model);
    const int views = options.views.value_or(1);
    const Spec expected = spec ? *spec : model(sprint_network(options.target, false, views));
    device.batch = expected.recipe.batch;
    if (device.wanted.is_empty()) device.wanted = expected.recipe.precisions;
    // The data set is unpacked while the device is made ready.
    auto dataset = std::async(std::launch::async, [&environment, &options] {
      return data::load_dataset(data_folder(environment, options.data), {.transpose = options.transpose});
    });
    if (options.ranks != nullptr) share_machine(device, places_of(*options.ranks));
    run_.open_device(device);
    if (!spec) spec = model(sprint_network(options.target, run_.info.gpu.has_value(), views));
    if (options.views) spec->recipe.views = *options.views;
    report_.views = spec->recipe.views;
    TrainSettings settings;
    settings.seed = options.first_seed;
    settings.transpose = options.transpose;
    if (spec->recipe.epochs) settings.epochs = 1;
    run_.settle(std::move(*spec), settings, dataset.get());
  }

  int run() {
    RecordedRun recorded(run_, options_.output, fmt::format("{}-x{}", setup_.spec.name, options_.seeds));
    return recorded.guard(console_, [&] { return run_seeds(recorded); });
  }

 private:
  int run_seeds(RecordedRun& recorded) {
    Sprint sprint(run_.setup, *run_.device.backend);
    recorded.note_libraries();
    print_head(recorded.path());
    if (!options_.no_process && options_.ranks == nullptr) report_.process_seconds = time_process();
    report_.images = sprint.images();
    const SignalGuard signals;
    start_ = Clock::now();
    int stop = 0;
    while (report_.seeds.size() < options_.seeds && stop == 0) stop = run_round(sprint, signals, recorded);
    console_.clear_progress();
    if (!report_.seeds.empty()) finish(sprint, recorded);
    return stop != 0 ? 128 + stop : 0;
  }

  bool is_first() const { return options_.ranks == nullptr || options_.ranks->rank() == 0; }

  // Trains the next seed, or one on each rank. Returns the signal that one of them has been asked to stop by, or 0.
  int run_round(Sprint& sprint, const SignalGuard& signals, RecordedRun& recorded) {
    const std::uint64_t done = report_.seeds.size();
    if (options_.ranks == nullptr) {
      take(train_seed(sprint, done), done, recorded);
      return signals.stop_signal();
    }
    struct Result {
      bool is_there;
      int stop;
      SprintSeed seed;
    };
    static_assert(std::is_trivially_copyable_v<Result>);
    const std::uint64_t index = done + static_cast<std::uint64_t>(options_.ranks->rank());
    Result own{};
    options_.ranks->begin(fmt::format("the end of seed {}", options_.first_seed + index), kPatience);
    if (index < options_.seeds) {
      own.seed = train_seed(sprint, index);
      own.is_there = true;
    }
    own.stop = signals.stop_signal();
    int stop = 0;
    for (Result& result : gathered(own, *options_.ranks)) {
      result.seed.digest[sizeof(result.seed.digest) - 1] = '\0';  // as another rank may not have sent it
      if (result.is_there) take(result.seed, report_.seeds.size(), recorded);
      stop = std::max(stop, result.stop);
    }
    return stop;
  }
  static constexpr double kPatience = 300;  // seconds that a rank may take for a seed

  SprintSeed train_seed(Sprint& sprint, std::uint64_t index) const {
    sprint.start_anew(options_.first_seed + index);
    SprintSeed seed = sprint.run();
    if (run_.device.bits == Bits::portable && !seed.bad_step)
      digest_of(sprint.network()).copy(seed.digest, sizeof(seed.digest) - 1);
    return seed;
  }

  void print_head(const std::string& folder) {
    console_.text(run_head(run_, folder));
    warn_of_data(console_, setup_);
    if (options_.model.empty())
      console_.line(fmt::format("{:<14}'{}', the network for {:g} % on a {} (--model)", "network",
                                setup_.spec.name, options_.target, run_.info.gpu ? "GPU" : "CPU"));
    if (options_.ranks != nullptr)
      console_.text(
          report_line("ranks", fmt::format("{}, each with seeds of its own", options_.ranks->size())));
  }

  // Times this program for one seed in a separate process.
  double time_process() {
    ProcessCall call;
    call.words = {run_.environment.executable.string(), "sprint", "--no-process", "--no-save", "--quiet"};
    const auto add = [&](const char* option, const std::string& value) {
      call.words.insert(call.words.end(), {option, value});
    };
    add("--seeds", "1");
    add("--model", options_.model.empty() ? setup_.spec.name : options_.model);
    add("--device", options_.device.device);
    add("--views", std::to_string(report_.views));
    add("--precision", *setup_.settings.precision);
    add("--engine", run_.engine);
    add("--bits", setup_.settings.bits.value_or("fast"));
    add("--first-seed", std::to_string(options_.first_seed));
    if (options_.device.threads) add("--threads", std::to_string(*options_.device.threads));
    if (!options_.data.empty()) add("--data", options_.data);
    if (options_.transpose) call.words.emplace_back("--transpose");
    call.out = call.err = [](std::string_view) {};
    const Clock::time_point start = Clock::now();
    const ProcessEnd end = run_process(call);
    if (end.code != 0)
      throw std::runtime_error(
          fmt::format("sprint: the process that was to be timed ended with status {}; try it alone: trainer "
                      "sprint --seeds 1 --no-process",
                      end.code));
    return seconds_since(start);
  }

  void take(const SprintSeed& seed, std::uint64_t index, RecordedRun& recorded) {
    report_.seeds.push_back(seed);
    console_.line(seed_line(seed));
    const nlohmann::ordered_json json = seed_json(setup_, report_, report_.seeds.size() - 1);
    recorded.add_metrics(json);
    print_event(console_, "seed", json);
    if (seed.bad_step)
      throw std::runtime_error(
          fmt::format("sprint: seed {}, step {}: the loss is not finite, so the steps after it train nothing",
                      seed.seed, *seed.bad_step + 1));
    const auto done = static_cast<double>(index + 1);
    const auto all = static_cast<double>(options_.seeds);
    console_.progress(done / all, [&] {
      const SprintSummary summary = summarize(report_.seeds, report_.images);
      return fmt::format("seed {} of {}{}", index + 1, options_.seeds,
                         pace_text(seconds_since(start_) / done * (all - done), summary.images_per_second));
    });
  }

  void finish(const Sprint& sprint, RecordedRun& recorded) {
    recorded.save_model(sprint.network());  // the last seed's
    recorded.add_weights(sprint.network());
    recorded.record.results["sprint"] = sprint_json(report_);
    const bool stopped = report_.seeds.size() < options_.seeds;
    recorded.close(stopped ? RunStatus::kStopped : RunStatus::kFinished,
                   stopped ? "by a signal" : "all seeds done");
    if (is_first()) console_.result(sprint_text(report_));
    if (recorded.is_kept()) console_.text(report_line("results", recorded.path()));
    print_event(console_, "end", sprint_json(report_));
  }

  const SprintOptions& options_;
  PreparedRun run_;
  const Setup& setup_;
  Console console_;
  Clock::time_point start_;  // when the first seed began
  SprintReport report_;
};

}  // namespace

int run_sprint(const Environment& environment, const SprintOptions& options) {
  SprintOptions own = options;
  if (options.ranks != nullptr && options.ranks->rank() > 0) own.output = {.no_save = true, .quiet = true};
  return SprintRun(environment, own).run();
}

}  // namespace trainer
