// trainer doctor: whether this machine can train, on which device, and if not, what is wrong.
#include <fmt/format.h>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/commands/commands.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/doctor/fleet.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

struct DoctorArguments {
  doctor::Questions questions;
  doctor::FleetOptions fleet;
  BundleOptions bundle;
  std::string message;
  const CLI::Option* explain = nullptr;  // --explain
  bool all = false;
  bool json = false;
};

// The message itself, or standard input for "-".
std::string pasted_text(const std::string& message) {
  constexpr std::size_t kMost = 1 << 20U;
  if (message != "-") return message;
  std::string text;
  for (std::istreambuf_iterator<char> letter(std::cin), end; letter != end && text.size() < kMost; ++letter)
    text += *letter;
  return text;
}

int explain_message(const DoctorArguments& arguments) {
  const std::string text = pasted_text(arguments.message);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    throw UsageError("--explain: no message; give it in quotes, or - and the message on standard input");
  const Explanation explanation = explain(text);
  fmt::print("{}", arguments.json ? doctor::explanation_json(explanation).dump(2) + "\n"
                                  : doctor::explanation_text(explanation));
  return explanation.found.empty() ? 1 : 0;
}

int examine(const Environment& environment, const DoctorArguments& arguments) {
  if (!arguments.bundle.out.empty()) (void)bundle_path(environment, arguments.bundle);
  const std::unique_ptr<GpuProbe> probe = open_gpu_probe();
  const Nvml nvml;
  const doctor::Facts facts = doctor::gather(environment, arguments.questions, *probe, nvml);
  const std::vector<Check> checks = doctor::check_all(facts);
  std::string bundle;
  if (!arguments.bundle.out.empty()) bundle = write_bundle(environment, arguments.bundle, facts, checks);
  fmt::print("{}", arguments.json ? doctor::report_json(facts, checks).dump(2) + "\n"
                                  : doctor::report_text(facts, checks));
  if (!bundle.empty() && !arguments.json) fmt::print("{}", report_line("bundle", bundle));
  return exit_status(class_of(checks));
}

int test_fleet(const Environment& environment, const DoctorArguments& arguments) {
  doctor::FleetOptions options = arguments.fleet;
  options.device = arguments.questions.device;
  options.data = arguments.questions.data;
  options.json = arguments.json;
  const doctor::FleetOutcome outcome = doctor::test_fleet(environment, options);
  fmt::print("{}", outcome.text);
  return outcome.status;
}

int examine_machine(const Environment& environment, const DoctorArguments& arguments) {
  if (arguments.all) return test_fleet(environment, arguments);
  return arguments.explain->count() > 0 ? explain_message(arguments) : examine(environment, arguments);
}

// Declares --all and the options that need it.
CLI::Option* declare_all(CLI::App& app, DoctorArguments& arguments) {
  CLI::Option* all =
      app.add_flag("--all", arguments.all,
                   "train on every GPU at once, again and again, and compare the weights bit for bit "
                   "[off]");
  doctor::FleetOptions& options = arguments.fleet;
  for (CLI::Option* option :
       {app.add_option("--minutes", options.minutes, "of --all; two rounds at least")
            ->check(CLI::Range(0.0, 10000.0))
            ->capture_default_str(),
        app.add_option("--model", options.model, "that --all trains: a shipped network or a YAML file")
            ->capture_default_str(),
        app.add_option("--seed", options.seed, "of --all's trainings")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str()})
    option->needs(all);
  return all;
}

// Declares --bundle and the options that need it.
CLI::Option* declare_bundle_file(CLI::App& app, BundleOptions& options) {
  CLI::Option* file = app.add_option("--bundle", options.out,
                                     "a .tar.gz to attach to a bug report: this report, and a run's record, "
                                     "metrics and output [none]");
  app.add_option("--run", options.run, "the run that --bundle includes")->capture_default_str()->needs(file);
  for (CLI::Option* option : add_bundle_contents(app, options, file)) option->needs(file);
  return file;
}

void declare_doctor(CLI::App& app, DoctorArguments& arguments) {
  doctor::Questions& questions = arguments.questions;
  CLI::Option* explain = app.add_option("--explain", arguments.message,
                                        "cause and fix of a message, in quotes; -: of standard input");
  for (CLI::Option* option :
       {add_device(app, questions.device),
        add_data(app, questions.data, "the data set to look at [TRAINER_DATA, or the shipped MNIST]"),
        app.add_flag("--require-gpu", questions.require_gpu, "a machine without a GPU is a problem [off]"),
        app.add_flag("--quick", questions.quick, "without the test of a second [off]")})
    option->excludes(explain);
  CLI::Option* all = declare_all(app, arguments);
  explain->excludes(all)->excludes(declare_bundle_file(app, arguments.bundle)->excludes(all));
  arguments.explain = explain;
  add_json(app, arguments.json);
  app.footer(doctor::exit_classes_text());
}

}  // namespace

Command add_doctor(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "doctor", "say whether this machine trains, and how to mend it",
                     declare_doctor, examine_machine);
}

}  // namespace trainer
