// trainer train: the options, and --config, whose lines become arguments.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/train/training_run.hpp"

namespace trainer {

namespace {

// Options as written; checked and turned into RunOptions when the command runs.
struct TrainArguments {
  RunOptions run;
  std::string checkpoint_every = "1";
  std::string config;
};

CheckpointEvery parse_checkpoint_every(const std::string& text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string suffix(stop, end);
  if (error != std::errc() || (!suffix.empty() && suffix != "steps") || (number == 0 && !suffix.empty())) {
    throw UsageError(fmt::format(
        "--checkpoint-every {}: a number of epochs (0: only at the end), or of steps: 500steps", text));
  }
  return suffix.empty() ? CheckpointEvery{number, 0} : CheckpointEvery{0, number};
}

// A resumed run is the same run: what decides its weights comes from its checkpoint.
void refuse_with_resume(const CLI::App& app) {
  for (const char* name :
       {"--model", "--epochs", "--batch", "--lr", "--optimizer", "--seed", "--limit-train", "--validation",
        "--classes", "--channels", "--skip-bad-images", "--precision", "--engine", "--out"}) {
    if (app.count(name) > 0) {
      throw UsageError(
          fmt::format("{} does not go with --resume: the run goes on with what it was begun with", name));
    }
  }
}

int train(const CLI::App& app, const Environment& environment, const TrainArguments& arguments) {
  RunOptions run = arguments.run;
  if (run.target_accuracy) run.target_accuracy = fraction_of("--target-accuracy", *run.target_accuracy);
  run.checkpoint_every = parse_checkpoint_every(arguments.checkpoint_every);
  if (run.max_seconds && !std::isfinite(*run.max_seconds))
    throw UsageError(fmt::format("--max-seconds {}: a time in seconds is a number", *run.max_seconds));
  if (!run.resume.empty()) refuse_with_resume(app);
  if (run.no_save && !run.out.empty()) throw UsageError("--no-save and --out exclude each other");
  return run_training(environment, run);
}

void add_recipe_options(CLI::App& app, TrainSettings& settings) {
  app.add_option("--epochs", settings.epochs, "passes over the training images [the recipe's]")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--batch", settings.batch, "images of a step [the recipe's]")->check(CLI::Range(1, 65536));
  app.add_option("--lr", settings.rate, "learning rate; the peak where the schedule has one [the recipe's]");
  app.add_option("--optimizer", settings.optimizer, "sgd, adam, adamw or adadelta [the recipe's]");
  app.add_option("--seed", settings.seed, "of initialisation, order and dropout")
      ->check(CLI::Validator(no_minus, ""))
      ->capture_default_str();
}

void add_data_options(CLI::App& app, RunOptions& run) {
  add_data(app, run.data);
  app.add_option("--limit-train", run.settings.limit_train, "train on the first N images only [all]")
      ->check(CLI::PositiveNumber);
  app.add_option("--validation", run.settings.validation,
                 "hold the last N training images out [the recipe's]");
  app.add_option("--classes", run.settings.classes, "width of the last layer [largest training label + 1]")
      ->check(CLI::Range(2, 256));
  app.add_option("--channels", run.settings.channels, "of pictures: 1 grey, 3 colour")
      ->check(CLI::IsMember({1, 3}))
      ->capture_default_str();
  app.add_flag("--skip-bad-images", run.settings.skip_bad_images,
               "leave broken pictures out instead of stopping [off]");
}

void add_run_options(CLI::App& app, TrainArguments& arguments) {
  RunOptions& run = arguments.run;
  add_device(app, run.device);
  app.add_option("--precision", run.settings.precision,
                 "of products: fp32; on a GPU also fp16, and from compute capability 8.0 on tf32 and bf16; "
                 "on a CPU with "
                 "AVX512-BF16 bf16 [the fastest that the recipe lists as keeping its accuracy, else fp32]");
  add_engine(app, run.settings.engine);
  app.add_flag("--nondeterministic", run.nondeterministic,
               "allow GPU algorithms whose last bits differ from run to run [off]");
  add_threads(app, run.threads);
  app.add_option(
      "--target-accuracy", run.target_accuracy,
      "stop at the first evaluation that reaches it, 99 or 0.99: of the validation images if there are any, "
      "else of the test images [none]");
  app.add_option("--max-seconds", run.max_seconds, "stop after so much time in training [none]")
      ->check(CLI::PositiveNumber);
  app.add_option("--out", run.out,
                 "folder of the results [runs/<date-time>-<model>-<seed>, in TRAINER_RUNS if set]");
  app.add_option("--resume", run.resume, "go on with a run: its folder, id or checkpoint, or 'last' [none]");
  app.add_option("--checkpoint-every", arguments.checkpoint_every,
                 "epochs, or steps with the suffix: 500steps")
      ->capture_default_str();
  app.add_option("--profile", run.profile,
                 "before training, time each op of some steps: a table, and a trace for chrome://tracing in "
                 "FILE [none]");
  app.add_flag("--no-save", run.no_save, "write nothing [off]");
  add_json(app, run.json, kJsonLines);
  app.add_flag("--quiet", run.quiet, "errors and warnings only [off]");
  app.add_option("--config", arguments.config,
                 "YAML file of these options, without dashes; the command line wins [none]");
}

}  // namespace

Command add_train(CLI::App& app, const Environment& environment) {
  CLI::App* train_app = app.add_subcommand("train", "train a network");
  train_app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto arguments = std::make_shared<TrainArguments>();
  train_app->add_option("--model", arguments->run.model, "a shipped network (trainer models) or a YAML file")
      ->capture_default_str();
  add_data_options(*train_app, arguments->run);
  add_recipe_options(*train_app, arguments->run.settings);
  add_run_options(*train_app, *arguments);
  return {train_app,
          [train_app, arguments, &environment] { return train(*train_app, environment, *arguments); }};
}

std::vector<std::string> with_config_file(std::vector<std::string> words) {
  if (words.empty() || words.front() != "train") return words;
  CLI::App parser;
  const Environment unused;
  return with_config_lines(std::move(words), *add_train(parser, unused).app);
}

}  // namespace trainer
