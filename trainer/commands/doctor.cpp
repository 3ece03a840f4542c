// trainer doctor: whether this machine can train, on which device, and if not, what is wrong.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/doctor/proof.hpp"

namespace trainer {

namespace {

struct DoctorArguments {
  doctor::Questions questions;
  doctor::ProofOptions proof;
  doctor::PrologOptions prolog;
  BundleOptions bundle;
  std::string message;
  const CLI::Option* explain = nullptr;  // --explain
  std::string metrics_file;              // --prom
  bool prove = false;
  bool all = false;
  bool before_job = false;  // --prolog
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

int prove_devices(const Environment& environment, const DoctorArguments& arguments) {
  doctor::ProofOptions options = arguments.proof;
  options.device = arguments.questions.device;
  options.require_gpu = arguments.questions.require_gpu;
  options.speed = arguments.all;
  options.json = arguments.json;
  const doctor::ProofOutcome outcome = doctor::prove(environment, options);
  fmt::print("{}", outcome.text);
  if (!arguments.metrics_file.empty() && !outcome.metrics.empty())
    write_file_durably(arguments.metrics_file, outcome.metrics);
  return outcome.status;
}

int examine_machine(const Environment& environment, const DoctorArguments& arguments) {
  const bool proof = arguments.prove || arguments.all;
  if ((arguments.proof.minutes && !proof) ||
      (!arguments.metrics_file.empty() && !proof && !arguments.before_job))
    throw UsageError("--minutes goes with --prove or --all, --prom with these or --prolog");
  if (arguments.before_job) {
    doctor::PrologOptions options = arguments.prolog;
    options.questions = arguments.questions;
    options.prom = arguments.metrics_file;
    return doctor::run_prolog(environment, options);
  }
  if (proof) return prove_devices(environment, arguments);
  return arguments.explain->count() > 0 ? explain_message(arguments) : examine(environment, arguments);
}

// Declares --prove, --all and the options that need one of them.
void declare_proof(CLI::App& app, DoctorArguments& arguments, const std::vector<CLI::Option*>& others) {
  CLI::Option* prove = app.add_flag(
      "--prove", arguments.prove,
      "train sprint-lean on every device at once, again and again, each time with the digest that this "
      "program knows [off]");
  CLI::Option* all = app.add_flag("--all", arguments.all,
                                  "the same on every GPU, and the speed of each beside its equals [off]");
  for (CLI::Option* option : others) prove->excludes(option), all->excludes(option);
  app.add_option("--minutes", arguments.proof.minutes, "of --prove or --all [three trainings]")
      ->check(CLI::Range(0.0, 10000.0));
  app.add_option("--prom", arguments.metrics_file,
                 "of --prove, --all or --prolog: a file for the textfile collector of Prometheus's "
                 "node_exporter [none]");
}

// Declares --prolog and the options that need it.
CLI::Option* declare_prolog(CLI::App& app, DoctorArguments& arguments) {
  CLI::Option* prolog = app.add_flag(
      "--prolog", arguments.before_job,
      "before a job: the quick checks, in at most 5 s, as one line of JSON, with an exit status as "
      "monitoring plugins have it: 0 ok, 1 warn, 2 critical, 3 unknown (wrong usage too) [off]");
  app.add_option("--health", arguments.prolog.health,
                 "which checks are critical, and how many GPUs there should be [deploy/health.yaml]")
      ->needs(prolog);
  app.add_option("--junit", arguments.prolog.junit, "the checks as JUnit's XML [none]")->needs(prolog);
  return prolog;
}

// Declares --bundle and the options that need it.
CLI::Option* declare_bundle_file(CLI::App& app, BundleOptions& options) {
  CLI::Option* file = app.add_option("--bundle", options.out,
                                     "a .tar.gz to attach to a bug report: this report, and a run's record, "
                                     "metrics and output [none]");
  app.add_option("--run", options.run, "the run that --bundle includes")->needs(file);
  for (CLI::Option* option : add_bundle_contents(app, options, file)) option->needs(file);
  return file;
}

void declare_doctor(CLI::App& app, DoctorArguments& arguments) {
  doctor::Questions& questions = arguments.questions;
  CLI::Option* explain = app.add_option("--explain", arguments.message,
                                        "cause and fix of a message, in quotes; -: of standard input");
  CLI::Option* data =
      add_data(app, questions.data, "the data set to look at [TRAINER_DATA, or the shipped MNIST]");
  CLI::Option* quick = app.add_flag("--quick", questions.quick, "without the test of a second [off]");
  for (CLI::Option* option :
       {add_device(app, questions.device, "auto, cpu, cuda or cuda:N; of --prove also all"), data, quick,
        app.add_flag("--require-gpu", questions.require_gpu, "a machine without a GPU is a problem [off]")})
    option->excludes(explain);
  CLI::Option* bundle = declare_bundle_file(app, arguments.bundle);
  explain->excludes(bundle);
  CLI::Option* prolog = declare_prolog(app, arguments);
  prolog->excludes(explain), prolog->excludes(bundle);
  declare_proof(app, arguments, {data, quick, explain, bundle, prolog});
  arguments.explain = explain;
  add_json(app, arguments.json);
  app.footer(doctor::exit_classes_text());
}

}  // namespace

std::optional<int> report_to_monitor(const std::vector<std::string>& words, const std::string& error) {
  const bool prolog =
      words.size() > 1 && words[1] == "doctor" && std::ranges::find(words, "--prolog") != words.end();
  if (!prolog) return std::nullopt;
  fmt::print("{}", doctor::node_json({.failure = error}));
  return static_cast<int>(doctor::Severity::unknown);
}

const Command kDoctor{"doctor", "say whether this machine trains, and how to mend it",
                      declared<declare_doctor, examine_machine>};

}  // namespace trainer
