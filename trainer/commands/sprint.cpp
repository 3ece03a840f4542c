// trainer sprint: the options.
#include "trainer/measure/sprint.hpp"

#include <fmt/format.h>

#include "trainer/commands/commands.hpp"

namespace trainer {

namespace {

int sprint(const Environment& environment, const SprintOptions& arguments) {
  const std::unique_ptr<Communicator> ranks = join_ranks(environment);
  SprintOptions options = arguments;
  options.ranks = ranks.get();
  options.output.add_pictures = picture_adder(environment, options.device);
  const double fraction = fraction_of("--target", options.target);
  if (options.target <= 1) options.target = 100 * fraction;
  return run_sprint(environment, options);
}

void declare_sprint(CLI::App& app, SprintOptions& options) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option(
      "--model", options.model,
      fmt::format(
          "a shipped network or a YAML file; one whose recipe counts epochs trains one [by --target: up to "
          "99 {} on a CPU ({} with --views 5) and {} on a GPU, beyond {}]",
          sprint_network(99, false, 1), sprint_network(99, false, kViews), sprint_network(99, true, 1),
          sprint_network(99.5, false, 1)));
  app.add_option("--seeds", options.seeds, "trainings from scratch, each with a seed of its own")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  add_seed(app, "--first-seed", options.first_seed, "the others follow it");
  app.add_option("--target", options.target,
                 "mean accuracy that counts as reached, in per cent or as a fraction")
      ->capture_default_str();
  add_views(app, options.views);
  add_device(app, options.device.device);
  app.add_option("--precision", options.device.precision, "of products, as for train [as for train]");
  add_engine(app, options.device);
  add_bits(app, options.device);
  add_threads(app, options.device);
  add_data(app, options.data);
  add_transpose(app, options.transpose);
  app.add_flag("--no-process", options.no_process,
               "do not time a process of its own for one seed first [off]");
  add_output(
      app, options.output,
      "folder of the record and the last seed's weights [runs/<date-time>-<model>-x<seeds>-<first seed>]",
      "the result only [off]");
}

}  // namespace

int sprint_again(const Environment& environment, const Rerun& rerun) {
  CLI::App parser;
  SprintOptions options;
  declare_sprint(parser, options);
  parse_arguments(parser, environment);
  options.spec = rerun.spec;
  options.data = rerun.data;
  options.output = rerun.output;
  options.device.wanted = trained_precision(rerun.settings);
  options.no_process = true;
  return sprint(environment, options);
}

Command add_sprint(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "sprint",
                     "train from scratch to 99 % against the clock, seed after seed", declare_sprint, sprint);
}

}  // namespace trainer
