// Targets: YAML, and texts that somebody types or pastes.
#include <CLI/CLI.hpp>

#include "kernels/gpu_host/known_failures.hpp"
#include "models/layers.hpp"
#include "models/lower.hpp"
#include "models/plan.hpp"
#include "models/spec.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/remote/connection.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/process.hpp"
#include "trainer/train/setup.hpp"

namespace trainer::fuzz {

namespace {

// Options of every kind that `trainer train` has; fuzz_test tries the program's own with the seeds.
struct Options {
  std::string model, data, checkpoint_every, config;
  TrainSettings settings;
  std::optional<double> seconds;
  std::optional<std::uint64_t> steps;
  bool quiet = false;
};

void declare(CLI::App& app, Options& options) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--model", options.model);
  app.add_option("--data", options.data);
  app.add_option("--epochs", options.settings.epochs)->check(CLI::Range(1, 1000000));
  app.add_option("--limit-train", options.settings.limit_train)->check(CLI::Range(1, INT_MAX));
  app.add_option("--lr", options.settings.rate);
  app.add_option("--seed", options.settings.seed);
  app.add_option("--channels", options.settings.channels)->check(CLI::IsMember({1, 3}));
  app.add_option("--max-seconds", options.seconds)->check(CLI::PositiveNumber);
  app.add_option("--max-steps", options.steps)->check(CLI::PositiveNumber);
  app.add_option("--checkpoint-every", options.checkpoint_every);
  app.add_flag("--sync-batchnorm", options.settings.sync_batchnorm);
  app.add_flag("--quiet", options.quiet);
  app.add_option("--config", options.config);
}

bool reads_target(ByteSpan input, TargetFile which) {
  return is_taken<SpecError>([&] {
    Target target;
    target.name = "vm";
    read_target(text_of(input), "targets/vm", which, target);
    const std::string written = target_text(target, which);
    Target again;
    again.name = "vm";
    read_target(written, "targets/vm", which, again);
    require(target_text(again, which) == written,
            "a target that was read is written and read again as it was");
    require(again.arguments == target.arguments && again.variables == target.variables &&
                again.image == target.image && again.address == target.address &&
                again.identity_file == target.identity_file,
            "a target's values come back");
  });
}

}  // namespace

bool fuzz_network(ByteSpan input) {
  const std::string text = text_of(input);
  return is_taken<SpecError>([&] {
    const Spec spec = parse_spec(text, "input.yaml");
    const Plan plan = make_plan(spec, {{28, 28, 1}, 10, spec.recipe.batch});
    require(!plan_table(plan, spec).empty() && !recipe_text(plan, spec).empty(), "a plan has a text");
    (void)plan_json(plan, spec).dump();
    (void)file_json(spec).dump();
    (void)pad_channels(plan, 8);
  });
}

bool fuzz_config(ByteSpan input) {
  const std::string path = file_of(input).string();
  return is_taken<UsageError, CLI::ParseError>([&] {
    static CLI::App app;
    static Options options;
    static CLI::App& train = []() -> CLI::App& {
      CLI::App& command = *app.add_subcommand("train");
      declare(command, options);
      return command;
    }();
    std::vector<std::string> words = with_config_lines({"train", "--config", path}, train);
    std::ranges::reverse(words);
    try {
      app.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
      require(!usage_message(app, error).empty(), "wrong usage has a message");
      throw;
    }
  });
}

bool fuzz_compute(ByteSpan input) {
  return reads_target(input, TargetFile::compute);
}

bool fuzz_runconfig(ByteSpan input) {
  return reads_target(input, TargetFile::runconfig);
}

bool fuzz_explain(ByteSpan input) {
  const std::string text = text_of(input);
  if (input.size() % 2 == 0) return !explain(text).found.empty();
  Target target;
  target.address = "vm.example.com";
  target.image = "trainer:1";
  const int code = text[0] % 2 == 0 ? 255 : 1;  // ssh's own failure, or a command's
  const Failure failure = explain_failure(target, {.code = code, .out = "", .err = text});
  require(!failure.cause.empty(), "a failure has a cause");
  return !failure.key.empty();
}

}  // namespace trainer::fuzz
