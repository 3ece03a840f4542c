// trainer sprint: a network trained from scratch and tested, seed after seed, and what the clock and the mean
// say.
#include "trainer/measure/sprint.hpp"

#include <fmt/format.h>
#include <future>

#include "trainer/commands/commands.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

// The faster of the two on its kind of device (README, "Sprint").
constexpr const char* kModelOfCpu = "sprint-lean";
constexpr const char* kModelOfGpu = "sprint";

struct SprintArguments {
  std::string model;
  std::string data;
  DeviceWish device;
  OutputOptions output;
  std::uint64_t seeds = 30;
  std::uint64_t first_seed = 1;
  double target = 99;
  bool no_process = false;
};

class SprintRun {
 public:
  SprintRun(const Environment& environment, const SprintArguments& arguments)
      : arguments_(arguments),
        run_{environment},
        setup_(run_.setup),
        console_(stdout, {.quiet = arguments.output.quiet, .json = arguments.output.json}) {
    const double share = share_of("--target", arguments.target);
    report_.target = arguments.target > 1 ? arguments.target : 100 * share;
    DeviceWish device = arguments.device;
    const auto model = [&](const std::string& name) { return find_spec(name, models_folder(environment)); };
    std::optional<Spec> spec;
    if (!arguments.model.empty()) spec = model(arguments.model);
    if (spec) device.wanted = spec->recipe.precisions;
    // The data set is unpacked while the device is made ready.
    auto dataset = std::async(std::launch::async, [&environment, data = arguments.data] {
      return data::load_dataset(data_folder(environment, data));
    });
    run_.open_device(device);
    if (!spec) spec = model(run_.info.gpu ? kModelOfGpu : kModelOfCpu);
    TrainSettings settings;
    settings.seed = arguments.first_seed;
    if (spec->recipe.epochs) settings.epochs = 1;
    run_.settle(std::move(*spec), settings, dataset.get());
  }

  int run() {
    RecordedRun recorded(run_, arguments_.output, fmt::format("{}-x{}", setup_.spec.name, arguments_.seeds));
    return recorded.guard(console_, [&] { return run_seeds(recorded); });
  }

 private:
  int run_seeds(RecordedRun& recorded) {
    Sprint sprint(run_.setup, *run_.device.backend);
    recorded.note_libraries();
    print_head(recorded.path());
    if (!arguments_.no_process) report_.process_seconds = time_process();
    report_.images = sprint.images();
    const SignalGuard signals;
    for (std::uint64_t i = 0; i < arguments_.seeds && signals.stop_signal() == 0; ++i) {
      sprint.start_anew(arguments_.first_seed + i);
      take(sprint.run(), i, recorded);
    }
    console_.clear_progress();
    if (!report_.seeds.empty()) finish(sprint, recorded);
    return signals.stop_signal() != 0 ? 128 + signals.stop_signal() : 0;
  }

  void print_head(const std::string& folder) {
    console_.text(run_head(run_, folder));
    if (arguments_.model.empty()) {
      console_.line(fmt::format("{:<14}'{}', the faster of the two networks on a {} (--model)", "network",
                                setup_.spec.name, run_.info.gpu ? "GPU" : "CPU"));
    }
  }

  // This program for one seed, as a process of its own.
  double time_process() {
    ProcessCall call;
    call.words = {run_.environment.executable.string(),
                  "sprint",
                  "--seeds",
                  "1",
                  "--no-process",
                  "--no-save",
                  "--quiet"};
    const auto add = [&](const char* option, const std::string& value) {
      call.words.insert(call.words.end(), {option, value});
    };
    add("--model", arguments_.model.empty() ? setup_.spec.name : arguments_.model);
    add("--device", arguments_.device.device);
    add("--precision", *setup_.settings.precision);
    add("--engine", run_.engine);
    add("--first-seed", std::to_string(arguments_.first_seed));
    if (arguments_.device.threads) add("--threads", std::to_string(*arguments_.device.threads));
    if (!arguments_.data.empty()) add("--data", arguments_.data);
    call.out = call.err = [](std::string_view) {};
    const Clock::time_point start = Clock::now();
    const ProcessEnd end = run_process(call);
    if (end.code != 0) {
      throw std::runtime_error(
          fmt::format("sprint: the process that was to be timed ended with status {}; try it alone: trainer "
                      "sprint --seeds 1 --no-process",
                      end.code));
    }
    return seconds_since(start);
  }

  void take(const SprintSeed& seed, std::uint64_t index, RecordedRun& recorded) {
    report_.seeds.push_back(seed);
    console_.line(seed_line(seed));
    const nlohmann::ordered_json json = seed_json(setup_, report_, report_.seeds.size() - 1);
    recorded.add_metrics(json);
    print_event(console_, "seed", json);
    if (seed.bad_step) {
      throw std::runtime_error(
          fmt::format("sprint: seed {}, step {}: the loss is not finite, and what follows it is no training",
                      seed.seed, *seed.bad_step + 1));
    }
    console_.progress(static_cast<double>(index + 1) / static_cast<double>(arguments_.seeds),
                      [&] { return fmt::format("seed {} of {}", index + 1, arguments_.seeds); });
  }

  void finish(const Sprint& sprint, RecordedRun& recorded) {
    recorded.save_model(sprint.network());  // of the last seed
    recorded.record.results["sprint"] = sprint_json(report_);
    const bool stopped = report_.seeds.size() < arguments_.seeds;
    recorded.close(stopped ? RunStatus::kStopped : RunStatus::kFinished,
                   stopped ? "by a signal" : "all seeds done");
    console_.result(sprint_text(report_));
    if (recorded.is_kept()) console_.text(report_line("results", recorded.path()));
    print_event(console_, "end", sprint_json(report_));
  }

  const SprintArguments& arguments_;
  PreparedRun run_;
  const Setup& setup_;
  Console console_;
  SprintReport report_;
};

int sprint(const Environment& environment, const SprintArguments& arguments) {
  return SprintRun(environment, arguments).run();
}

void declare_sprint(CLI::App& app, SprintArguments& arguments) {
  app.add_option("--model", arguments.model,
                 fmt::format("a shipped network or a YAML file; one whose recipe counts epochs trains "
                             "one [{} on a CPU, {} on a GPU]",
                             kModelOfCpu, kModelOfGpu));
  app.add_option("--seeds", arguments.seeds, "trainings from scratch, each with a seed of its own")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  add_seed(app, "--first-seed", arguments.first_seed, "the others follow it");
  app.add_option("--target", arguments.target, "mean accuracy that counts as reached, 99 or 0.99")
      ->capture_default_str();
  add_device(app, arguments.device.device);
  app.add_option("--precision", arguments.device.precision, "of products, as for train [as for train]");
  add_engine(app, arguments.device);
  add_threads(app, arguments.device);
  add_data(app, arguments.data);
  app.add_flag("--no-process", arguments.no_process,
               "do not time a process of its own for one seed first [off]");
  add_output(
      app, arguments.output,
      "folder of the record and the last seed's weights [runs/<date-time>-<model>-x<seeds>-<first seed>]",
      "the result only [off]");
}

}  // namespace

Command add_sprint(CLI::App& app, const Environment& environment) {
  Command command =
      add_command(app, environment, "sprint", "train from scratch to 99 % against the clock, seed after seed",
                  declare_sprint, sprint);
  command.only_prints = false;
  return command;
}

}  // namespace trainer
