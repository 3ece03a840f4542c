// trainer sprint: a network trained from scratch and tested, seed after seed, and what the clock and the mean
// say.
#include <CLI/CLI.hpp>
#include <ctime>
#include <fmt/format.h>
#include <future>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/console/progress.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/measure/sprint_text.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/checkpoint.hpp"
#include "trainer/train/recorded_run.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;
// The faster of the two on its kind of device (README, "Sprint").
constexpr const char* kModelOfCpu = "sprint-lean";
constexpr const char* kModelOfGpu = "sprint";

struct SprintArguments {
  std::string model;
  std::uint64_t seeds = 30;
  std::uint64_t first_seed = 1;
  double target = 99;
  std::string device = "auto";
  std::optional<std::string> precision;
  std::string engine = "auto";
  std::optional<int> threads;
  std::string data;
  std::string out;
  bool no_save = false;
  bool no_process = false;
  bool json = false;
  bool quiet = false;
};

class SprintCommand {
 public:
  SprintCommand(const Environment& environment, const SprintArguments& arguments)
      : environment_(environment),
        arguments_(arguments),
        console_(stdout, {.quiet = arguments.quiet, .json = arguments.json}) {
    const double fraction = fraction_of("--target", arguments.target);
    report_.target = arguments.target > 1 ? arguments.target : 100 * fraction;
    const bool asked = !arguments.model.empty();
    if (asked) spec_ = find_spec(arguments.model, models_folder(environment));
    // The data set is unpacked while the device is made ready.
    auto dataset = std::async(std::launch::async, [&environment, data = arguments.data] {
      return data::load_dataset(data_folder(environment, data));
    });
    device_ = choose_device({.device = arguments.device,
                             .threads = arguments.threads,
                             .precision = arguments.precision,
                             .wanted = spec_.recipe.precisions,
                             .plan_cache = environment.cache,
                             .engine = arguments.engine});
    info_ = device_.backend->info(Libraries::opened);
    if (!asked) spec_ = find_spec(info_.gpu ? kModelOfGpu : kModelOfCpu, models_folder(environment));
    TrainSettings settings;
    settings.seed = arguments.first_seed;
    settings.precision = precision_name(device_.precision);
    settings.engine = arguments.engine;
    if (spec_.recipe.epochs) settings.epochs = 1;
    setup_ = make_setup(spec_, settings, dataset.get());
    require_memory(setup_, info_);
  }

  int run() {
    open_folder();
    try {
      return run_seeds();
    } catch (const std::exception& error) {
      recorded_.close_failed(error.what(), console_);
      throw;
    }
  }

 private:
  int run_seeds() {
    Sprint sprint(setup_, *device_.backend);
    note_libraries();
    print_head();
    if (!arguments_.no_process) report_.process_seconds = time_process();
    report_.images = sprint.images();
    const SignalGuard signals;
    for (std::uint64_t i = 0; i < arguments_.seeds && signals.stop_signal() == 0; ++i) {
      sprint.start_anew(arguments_.first_seed + i);
      take(sprint.run(), i);
    }
    report_.stopped = report_.seeds.size() < arguments_.seeds;
    finish(sprint);
    if (signals.stop_signal() != 0) return 128 + signals.stop_signal();
    return 0;
  }

  void open_folder() {
    if (arguments_.no_save) return;
    NewRun run{fmt::format("{}-x{}", setup_.spec.name, arguments_.seeds), arguments_.first_seed,
               std::time(nullptr), std::nullopt};
    if (!arguments_.out.empty()) run.out = arguments_.out;
    RunFolder folder = RunFolder::create(run, environment_.runs);
    recorded_.open(std::move(folder), describe_run(environment_, setup_, info_, device_.gpu_reason));
  }

  // Which the network has opened: nothing else asks for one.
  void note_libraries() {
    if (arguments_.quiet && !recorded_.is_kept()) return;
    info_ = device_.backend->info(Libraries::opened);
    describe_device(recorded_.record, info_, device_.gpu_reason);
  }

  void print_head() {
    console_.text(device_report(info_, device_.gpu_reason));
    console_.text(training_head(setup_, recorded_.path()));
    console_.text(engine_line(arguments_.engine, info_));
    if (arguments_.model.empty()) {
      console_.line(fmt::format("{:<14}'{}', the faster of the two networks on a {} (--model)", "network",
                                setup_.spec.name, info_.gpu ? "GPU" : "CPU"));
    }
  }

  // This program for one seed, as a process of its own.
  double time_process() {
    ProcessCall call;
    call.words = {
        environment_.executable.string(), "sprint", "--seeds", "1", "--no-process", "--no-save", "--quiet"};
    const auto add = [&](const char* option, const std::string& value) {
      call.words.insert(call.words.end(), {option, value});
    };
    add("--model", arguments_.model.empty() ? setup_.spec.name : arguments_.model);
    add("--device", arguments_.device);
    add("--precision", *setup_.settings.precision);
    add("--engine", arguments_.engine);
    add("--first-seed", std::to_string(arguments_.first_seed));
    if (arguments_.threads) add("--threads", std::to_string(*arguments_.threads));
    if (!arguments_.data.empty()) add("--data", arguments_.data);
    call.out = call.err = [](std::string_view) {};
    const Clock::time_point start = Clock::now();
    const ProcessEnd end = run_process(call);
    const double seconds = seconds_since(start);
    if (end.code != 0) {
      throw std::runtime_error(
          fmt::format("sprint: the process that was to be timed ended with status {}; try it alone: trainer "
                      "sprint --seeds "
                      "1 --no-process",
                      end.code));
    }
    return seconds;
  }

  void take(const SprintSeed& seed, std::uint64_t index) {
    report_.seeds.push_back(seed);
    console_.line(seed_line(seed));
    const ordered_json json = seed_json(setup_, report_, report_.seeds.size() - 1);
    recorded_.add_metrics(json);
    ordered_json event{{"event", "seed"}};
    event.update(json);
    console_.json(event);
    if (seed.bad_step) {
      throw std::runtime_error(
          fmt::format("sprint: seed {}, step {}: the loss is not finite, and what follows it is no training",
                      seed.seed, *seed.bad_step + 1));
    }
    console_.progress(static_cast<double>(index + 1) / static_cast<double>(arguments_.seeds),
                      [&] { return fmt::format("seed {} of {}", index + 1, arguments_.seeds); });
  }

  void finish(const Sprint& sprint) {
    console_.clear_progress();
    if (report_.seeds.empty()) return;
    save(sprint);
    console_.result(sprint_text(report_));
    if (recorded_.is_kept()) console_.text(report_line("results", recorded_.path()));
    ordered_json event{{"event", "end"}};
    event.update(sprint_json(report_));
    console_.json(event);
  }

  void save(const Sprint& sprint) {
    if (!recorded_.is_kept()) return;
    save_network(recorded_.file(kModelName), setup_, sprint.network(), info_, nullptr);  // of the last seed
    recorded_.record.results["sprint"] = sprint_json(report_);
    recorded_.close(report_.stopped ? RunStatus::kStopped : RunStatus::kFinished,
                    report_.stopped ? "by a signal" : "all seeds done");
  }

  RecordedRun recorded_;
  const Environment& environment_;
  const SprintArguments& arguments_;
  Console console_;
  Spec spec_;
  DeviceChoice device_;
  DeviceInfo info_;
  Setup setup_;
  SprintReport report_;
};

}  // namespace

Command add_sprint(CLI::App& app, const Environment& environment) {
  CLI::App* sprint_app =
      app.add_subcommand("sprint", "train from scratch to 99 % against the clock, seed after seed");
  const auto arguments = std::make_shared<SprintArguments>();
  sprint_app->add_option(
      "--model", arguments->model,
      fmt::format("a shipped network or a YAML file; one whose recipe counts epochs trains "
                  "one [{} on a CPU, {} on a GPU]",
                  kModelOfCpu, kModelOfGpu));
  sprint_app->add_option("--seeds", arguments->seeds, "trainings from scratch, each with a seed of its own")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sprint_app->add_option("--first-seed", arguments->first_seed, "the others follow it")
      ->check(CLI::Validator(no_minus, ""))
      ->capture_default_str();
  sprint_app->add_option("--target", arguments->target, "mean accuracy that counts as reached, 99 or 0.99")
      ->capture_default_str();
  add_device(*sprint_app, arguments->device);
  sprint_app->add_option("--precision", arguments->precision, "of products, as for train [as for train]");
  add_engine(*sprint_app, arguments->engine);
  add_threads(*sprint_app, arguments->threads);
  add_data(*sprint_app, arguments->data);
  sprint_app->add_option(
      "--out", arguments->out,
      "folder of the record and the last seed's weights [runs/<date-time>-<model>-x<seeds>-<first seed>]");
  sprint_app->add_flag("--no-save", arguments->no_save, "write nothing [off]");
  sprint_app->add_flag("--no-process", arguments->no_process,
                       "do not time a process of its own for one seed first [off]");
  add_json(*sprint_app, arguments->json, kJsonLines);
  sprint_app->add_flag("--quiet", arguments->quiet, "the result only [off]");
  return {sprint_app, [arguments, &environment] { return SprintCommand(environment, *arguments).run(); }};
}

}  // namespace trainer
