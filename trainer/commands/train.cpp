// trainer train: the options, and --config, whose lines become arguments.
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "trainer/commands/commands.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/train/rank_share.hpp"
#include "trainer/train/training_run.hpp"

namespace trainer {

namespace {

// The options that decide a run's weights: a resumed run takes them from its checkpoint.
constexpr const char* kFixedByRun[] = {"--model",
                                       "--batch",
                                       "--lr",
                                       "--optimizer",
                                       "--seed",
                                       "--limit-train",
                                       "--validation",
                                       "--classes",
                                       "--channels",
                                       "--skip-bad-images",
                                       "--transpose",
                                       "--precision",
                                       "--engine",
                                       "--bits",
                                       "--out",
                                       "--from",
                                       "--new-head",
                                       "--gradient-bits",
                                       "--warm-start-images",
                                       "--sync-batchnorm",
                                       "--batch-per-rank"};

struct TrainArguments : RunOptions {
  const CLI::App* app = nullptr;
  std::string checkpoint_every = "1";
  std::string config;  // taken out of the words before they are parsed
  bool nondeterministic = false;
  bool new_head = false;
  bool resume_if_there = false;
  std::optional<int> ranks_to_start;
};

void read_checkpoint_every(const std::string& text, LoopLimits& limits) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string suffix(stop, end);
  if (error != std::errc() || (!suffix.empty() && suffix != "steps") || (number == 0 && !suffix.empty())) {
    throw UsageError(fmt::format(
        "--checkpoint-every {}: a number of epochs (0: only at the end), or of steps: 500steps", text));
  }
  (suffix.empty() ? limits.checkpoint_epochs : limits.checkpoint_steps) = number;
}

void check_ranks(const RunOptions& run) {
  const TrainSettings& settings = run.settings;
  if (settings.gradient_bits.value_or(32) != 32 && run.device.bits == "portable")
    throw UsageError(
        fmt::format("--gradient-bits {} cannot be combined with --bits portable, which exchanges 32",
                    *settings.gradient_bits));
  if (settings.warm_start_images && !settings.gradient_bits)
    throw UsageError(
        "--warm-start-images goes with --gradient-bits 1 or 16: so many images are exchanged with 32 first");
  if (settings.batch && run.ranks.batch_per_rank)
    throw UsageError("--batch and --batch-per-rank exclude each other");
  if (!run.profile.empty() && run.ranks.ranks != nullptr)
    throw UsageError("--profile times the ops of one process; leave it out on several ranks");
}

// Continues the run in --out if there is one. What a run left that ended before its first checkpoint is removed: nothing of it was
// trained that could go on. Of several ranks the first one looks and removes: it makes the folder while others still look.
void resume_if_there(RunOptions& run) {
  if (run.output.out.empty())
    throw UsageError("--resume-if-there goes with --out FOLDER, where the run is looked for");
  const fs::path folder = run.output.out;
  char there = fs::exists(folder / kCheckpointName) ? 1 : 0;
  if (run.ranks.ranks != nullptr) there = gathered(there, *run.ranks.ranks).front();
  if (there != 0) {
    run.resume = std::exchange(run.output.out, "");
    run.settings.epochs.reset();
  } else if (run.ranks.is_first() && fs::exists(folder / kRunRecordName) && !is_being_written(folder)) {
    for (const std::string_view name : {kRunRecordName, kMetricsName, kOutputName}) fs::remove(folder / name);
    for (const std::string& name : event_files(folder)) fs::remove(folder / name);
  }
}

// Starts the same command once for each rank.
int start_ranks(const Environment& environment, int ranks) {
  if (find_launch(std::getenv).size > 1)
    throw UsageError(fmt::format(
        "--ranks {}: a launcher has started this process as one of several ranks already; leave it out",
        ranks));
  const auto& given = environment.arguments;
  return launch_ranks({.ranks = ranks,
                       .executable = environment.executable,
                       .arguments = without_option({given.begin() + 1, given.end()}, "--ranks")});
}

int train(const Environment& environment, const TrainArguments& arguments) {
  if (arguments.ranks_to_start) return start_ranks(environment, *arguments.ranks_to_start);
  const std::unique_ptr<Communicator> ranks = join_ranks(environment);
  RunOptions run = arguments;
  run.ranks.ranks = ranks.get();
  run.output.add_pictures = picture_adder(environment, run.device);
  check_ranks(run);
  if (!run.spec && (run.settings.limit_train || run.settings.validation)) run.settings.subset = kSpread;
  run.device.deterministic = !arguments.nondeterministic;
  LoopLimits& limits = run.limits;
  if (limits.target_accuracy)
    limits.target_accuracy = fraction_of("--target-accuracy", *limits.target_accuracy);
  read_checkpoint_every(arguments.checkpoint_every, limits);
  if (limits.max_seconds && !std::isfinite(*limits.max_seconds))
    throw UsageError(fmt::format("--max-seconds {}: a time in seconds is a number", *limits.max_seconds));
  for (const char* name : kFixedByRun)
    if (!run.resume.empty() && arguments.app->count(name) > 0)
      throw UsageError(fmt::format(
          "{} cannot be combined with --resume: the run continues with the settings that it was begun with, "
          "except for --epochs; a new run from its weights is train --from RUN",
          name));
  if (arguments.new_head && run.from.empty())
    throw UsageError("--new-head goes with --from RUN_OR_FILE, whose other layers it keeps");
  if (arguments.new_head) run.settings.new_head = true;
  if (!run.from.empty() && arguments.app->count("--model") == 0) run.model.clear();
  if (run.output.no_save && !run.output.out.empty())
    throw UsageError("--no-save and --out exclude each other");
  if (arguments.resume_if_there) resume_if_there(run);
  return run_training(environment, run);
}

void declare_data(CLI::App& app, RunOptions& run) {
  add_data(app, run.data);
  app.add_option("--limit-train", run.settings.limit_train,
                 "train on N images only, spread evenly over the labels by --seed [all]")
      ->check(CLI::Range(1, INT_MAX));
  app.add_option("--validation", run.settings.validation,
                 "hold N training images out, spread evenly over the labels by --seed; 0: not even the data "
                 "set's val/ [val/, or the recipe's]")
      ->check(CLI::Range(0, INT_MAX));
  app.add_option("--classes", run.settings.classes, "width of the last layer [largest training label + 1]")
      ->check(CLI::Range(2, 256));
  add_channels(app, run.settings.channels);
  add_skip_bad_images(app, run.settings.skip_bad_images,
                      "leave broken pictures out instead of stopping [off]");
  add_transpose(app, run.settings.transpose);
}

void declare_recipe(CLI::App& app, TrainSettings& settings) {
  app.add_option("--epochs", settings.epochs,
                 "passes over the training images, earlier ones of a resumed run included [the recipe's]")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--batch", settings.batch, "images of a step [the recipe's]")->check(CLI::Range(1, 65536));
  app.add_option("--lr", settings.rate, "learning rate; the peak where the schedule has one [the recipe's]");
  app.add_option("--optimizer", settings.optimizer, "sgd, adam, adamw or adadelta [the recipe's]");
  add_seed(app, "--seed", settings.seed, "of initialisation, order and dropout");
}

void declare_device(CLI::App& app, TrainArguments& arguments) {
  DeviceRequest& device = arguments.device;
  add_device(app, device.device);
  app.add_option("--precision", device.precision,
                 "of products: fp32; on a GPU also fp16, and from compute capability 8.0 on tf32 and bf16; "
                 "on a CPU with AVX512-BF16 bf16 [the fastest that the recipe lists as keeping its accuracy, "
                 "else fp32]");
  add_engine(app, device);
  app.add_flag("--nondeterministic", arguments.nondeterministic,
               "allow GPU algorithms whose last bits differ from run to run [off]");
  add_bits(app, device);
  app.add_option("--digest-every", arguments.limits.digest_steps,
                 "with --bits portable, keep a digest of weights and optimiser after every N steps [none]")
      ->check(CLI::PositiveNumber);
  add_threads(app, device);
}

void declare_ranks(CLI::App& app, TrainArguments& arguments) {
  TrainSettings& settings = arguments.settings;
  app.add_option("--ranks", arguments.ranks_to_start,
                 "start N processes of this command with mpirun, which train together [one process; under "
                 "mpirun or srun, theirs]")
      ->check(CLI::Range(1, 1024));
  app.add_option(
         "--gradient-bits", settings.gradient_bits,
         "of each value that ranks exchange: 32, 16 (bf16) or 1 (1-bit SGD; CNTK's gradientBits) [32]")
      ->check(CLI::IsMember({1, 16, 32}));
  app.add_option(
      "--warm-start-images", settings.warm_start_images,
      "with fewer gradient bits, exchange 32 for the first N images (CNTK's parallelizationStartEpoch) [0]");
  app.add_flag(
      "--sync-batchnorm", settings.sync_batchnorm,
      "batch normalisation by the statistics of all ranks, not each rank's own [off; on with portable bits]");
  app.add_option("--batch-per-rank", arguments.ranks.batch_per_rank,
                 "images of a step on each rank, instead of --batch; without --lr the learning rate grows "
                 "with the whole batch [the recipe's batch is that of all ranks]")
      ->check(CLI::Range(1, 65536));
  app.add_option(
         "--rank-timeout", arguments.ranks.timeout,
         "seconds after which a rank that does not finish a step is lost; the start, the first step, an "
         "evaluation and a checkpoint have at least 300")
      ->check(CLI::PositiveNumber);
}

void declare_train(CLI::App& app, TrainArguments& arguments) {
  arguments.app = &app;
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--model", arguments.model, "a shipped network (trainer models) or a YAML file");
  declare_data(app, arguments);
  declare_recipe(app, arguments.settings);
  declare_device(app, arguments);
  declare_ranks(app, arguments);
  app.add_option(
      "--target-accuracy", arguments.limits.target_accuracy,
      "stop at the first evaluation that reaches it, 99 or 0.99: of the validation images if there are any, "
      "else of the test images [none]");
  app.add_option("--max-seconds", arguments.limits.max_seconds, "stop after so much time in training [none]")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-steps", arguments.limits.max_steps,
                 "stop after step N of the run; its schedule stays [none]")
      ->check(CLI::PositiveNumber);
  app.add_option("--resume", arguments.resume,
                 "go on with a run: its folder, id or checkpoint, or 'last' [none]");
  app.add_flag(
      "--resume-if-there", arguments.resume_if_there,
      "go on with the run in --out if it has a checkpoint, else begin it: for jobs that are requeued [off]");
  app.add_option("--from", arguments.from,
                 "start a new run from the weights of a run or a .safetensors file, with its network unless "
                 "--model names another [none]");
  app.add_flag("--new-head", arguments.new_head, "of --from, keep all layers but the last one [off]");
  app.add_option("--checkpoint-every", arguments.checkpoint_every,
                 "epochs, or steps with the suffix: 500steps");
  app.add_option("--profile", arguments.profile,
                 "before training, time each op of some steps: a table, and a trace for chrome://tracing in "
                 "FILE [none]");
  add_output(app, arguments.output,
             "folder of the results [runs/<date-time>-<model>-<seed>, in TRAINER_RUNS if set]",
             "errors and warnings only [off]");
  app.add_option("--config", arguments.config,
                 "YAML file of these options, without dashes; the command line wins [none]");
}

}  // namespace

int train_again(const Environment& environment, const Rerun& rerun) {
  CLI::App parser;
  TrainArguments arguments;
  declare_train(parser, arguments);
  parse_arguments(parser, environment);
  arguments.spec = rerun.spec;
  arguments.settings = rerun.settings;
  arguments.from = rerun.settings.from.value_or("");
  arguments.data = rerun.data;
  arguments.output = rerun.output;
  arguments.device.wanted = trained_precision(rerun.settings);
  arguments.limits.max_steps = rerun.steps;
  arguments.limits.max_seconds.reset();
  arguments.ranks.batch_per_rank.reset();
  arguments.ranks_to_start.reset();
  arguments.resume.clear();
  arguments.resume_if_there = false;
  return train(environment, arguments);
}

const Command kTrain{"train", "train a network", declared<declare_train, train>};

std::vector<std::string> with_config_file(std::vector<std::string> words) {
  if (words.empty() || words.front() != "train") return words;
  CLI::App parser;
  TrainArguments unused;
  declare_train(parser, unused);
  return with_config_lines(std::move(words), parser);
}

}  // namespace trainer
