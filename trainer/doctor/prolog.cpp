// How a node is judged, what is written about it, and the checks within their limits of time.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <fmt/ranges.h>

#include "models/words.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/doctor/apart.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

constexpr double kLookSeconds = 4;
constexpr double kAllSeconds = 4.7;  // with writing the files; the rest is for the program's start

// Status, line of JSON, metrics, XML.
ordered_json outputs(const NodeReport& report) {
  return {static_cast<int>(status_of(report)), node_json(report),
          node_metrics(report, static_cast<std::uint64_t>(std::time(nullptr))), node_junit(report)};
}

// Adds the problems of a further GPU: each name stands once, so that a metric has one sample.
void look_at_gpu(int device, Facts facts, const GpuProbe& probe, const Nvml& nvml,
                 std::vector<Check>* checks) {
  facts.gpu = gather_gpu(probe, nvml, device);
  facts.least_gpus = 0;  // they were counted
  for (const Check& found : check_all(facts)) {
    if (found.state != CheckState::problem || !found.name.starts_with("GPU")) continue;
    const auto known = std::ranges::find(*checks, found.name, &Check::name);
    const std::string before = known->state == CheckState::problem ? known->finding + "; " : "";
    *known = found;
    known->finding = fmt::format("{}cuda:{}: {}", before, device, found.finding);
  }
}

// Tells, before each check, what is to be put out if that one gives no answer, and then the end.
void look(const Environment& environment, const PrologOptions& options, const Tell& tell) {
  const Clock::time_point start = Clock::now();
  std::string file = options.health;
  if (file.empty()) file = (models_folder(environment).parent_path() / "deploy/health.yaml").string();
  NodeReport report{.health = read_health(file)};
  const auto begins = [&](const char* check) { tell(outputs(without_answer(report, check))); };
  Questions questions = options.questions;
  questions.quick = true;
  questions.least_gpus = report.health.gpus;
  questions.begins = [&](const char* check, const Facts& facts) {
    const bool files = check == std::string_view("data") || check == std::string_view("results");
    if (files) report.checks = check_all(facts);  // the files come last
    begins(check);
  };
  begins("NVML");
  const Nvml nvml;
  begins("driver");
  const auto probe = open_gpu_probe();
  const Facts facts = gather(environment, questions, *probe, nvml);
  report.checks = check_all(facts);
  for (int device = 1; questions.device == "auto" && device < facts.gpu.devices; ++device) {
    begins("GPU");
    look_at_gpu(device, facts, *probe, nvml, &report.checks);
  }
  report.seconds = seconds_since(start);
  tell(outputs(report));
}

constexpr const char* kWords[] = {"ok", "warn", "critical", "unknown"};

const char* word(Severity severity) {
  return kWords[static_cast<std::size_t>(severity)];
}

Severity severity_of(const Check& check, const NodeReport& report) {
  if (check.state != CheckState::problem) return Severity::ok;
  const auto found = report.health.of.find(check.name);
  return found == report.health.of.end() ? Severity::warn : found->second;
}

int count_of(const SettingLine& line) {
  const bool number = line.value.size() <= 4 && !line.value.empty() &&
                      line.value.find_first_not_of("0123456789") == std::string::npos;
  if (!number) throw UsageError(line.place + ": gpus: a number from 0 to 9999");
  return std::stoi(line.value);
}

// "critical: GPU errors: 3 that ECC could not correct; warn: results: ...", the worst first.
std::string summary_of(const NodeReport& report) {
  std::vector<std::string> parts;
  for (const Severity severity : {Severity::critical, Severity::unknown, Severity::warn}) {
    if (severity == Severity::unknown && !report.failure.empty())
      parts.push_back(fmt::format("{}: {}", word(severity), report.failure));
    for (const Check& check : report.checks)
      if (severity_of(check, report) == severity)
        parts.push_back(fmt::format("{}: {}: {}", word(severity), check.name, check.finding));
  }
  return parts.empty() ? word(Severity::ok) : fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

Health read_health(const std::string& file) {
  const Words known{"gpus",       "driver",     "libraries", "cuBLASLt", "MPI",  "GPU count", "GPU",
                    "GPU memory", "GPU errors", "NVML",      "memory",   "data", "results"};
  const Words words{"ignore", "warn", "critical"};
  Health health;
  for (const SettingLine& line : setting_lines("--health", file, "check", known)) {
    const auto found = std::ranges::find(words, line.value);
    if (line.name == "gpus")
      health.gpus = count_of(line);
    else if (found == words.end())
      throw UsageError(fmt::format("{}: {}", line.place, unknown_word("severity", line.value, words)));
    else
      health.of[line.name] = static_cast<Severity>(found - words.begin());
  }
  return health;
}

Severity status_of(const NodeReport& report) {
  Severity worst = Severity::ok;
  for (const Check& check : report.checks) worst = std::max(worst, severity_of(check, report));
  return worst == Severity::critical || report.failure.empty() ? worst : Severity::unknown;
}

std::string node_json(const NodeReport& report) {
  const Severity status = status_of(report);
  ordered_json json{{"kind", "doctor prolog"},
                    {"status", static_cast<int>(status)},
                    {"word", word(status)},
                    {"summary", summary_of(report)},
                    {"seconds", std::round(1000 * report.seconds) / 1000},
                    {"checks", ordered_json::array()}};
  for (const Check& check : report.checks) {
    json["checks"].push_back(check_json(check));
    json["checks"].back()["severity"] = word(severity_of(check, report));
  }
  return to_text(json) + "\n";
}

std::string node_metrics(const NodeReport& report, std::uint64_t now) {
  const auto number = [](Severity severity) { return std::to_string(static_cast<int>(severity)); };
  std::vector<Sample> checks;
  for (const Check& check : report.checks)
    if (check.state != CheckState::not_run)
      checks.push_back({{{"check", check.name}}, number(severity_of(check, report))});
  return gauge_text("trainer_health_status", "0 ok, 1 warn, 2 critical, 3 unknown.",
                    {{{}, number(status_of(report))}}) +
         gauge_text("trainer_health_check_status", "Of each check that was run.", checks) +
         gauge_text("trainer_health_duration_seconds", "How long the checks took.",
                    {{{}, fmt::format("{:.3f}", report.seconds)}}) +
         gauge_text("trainer_health_time_seconds", "When they ended, in seconds since 1970.",
                    {{{}, std::to_string(now)}});
}

std::string node_junit(const NodeReport& report) {
  std::string cases;
  int failures = 0;
  for (const Check& check : report.checks) {
    const Severity severity = severity_of(check, report);
    const char* tag = check.state == CheckState::not_run ? "skipped"
                      : severity == Severity::critical   ? "failure"
                                                         : "system-out";
    const std::string why = check.cause.empty() ? "" : fmt::format("; {}; {}", check.cause, check.fix);
    const std::string text = escaped(fmt::format("{}: {}{}", word(severity), check.finding, why));
    cases += fmt::format("  <testcase classname=\"trainer.doctor\" name=\"{}\"><{}>{}</{}></testcase>\n",
                         escaped(check.name), tag, text, tag);
    failures += severity == Severity::critical ? 1 : 0;
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"trainer doctor --prolog\" tests=\"{}\" "
      "failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3f}\">\n{}</testsuite>\n",
      report.checks.size(), failures, std::ranges::count(report.checks, CheckState::not_run, &Check::state),
      report.seconds, cases);
}

NodeReport without_answer(NodeReport report, const std::string& check) {
  std::erase_if(report.checks, [&](const Check& other) {
    return other.name == check || (check == "data" && other.name == "results");  // not looked at yet
  });
  report.seconds = kLookSeconds;
  report.checks.push_back({CheckState::problem, check,
                           fmt::format("gives no answer within {} s, or ends the process", kLookSeconds),
                           "a driver, a GPU or a file system does not answer, or the machine is overloaded",
                           "read the end of 'dmesg'; 'trainer doctor' shows the rest",
                           FailureClass::machine});
  return report;
}

int run_prolog(const Environment& environment, const PrologOptions& options) {
  const Clock::time_point start = Clock::now();
  const Told told = work_apart([&](const Tell& tell) { look(environment, options, tell); }, kLookSeconds);
  std::string failure = told.error;
  if (failure.empty() && told.values.empty()) failure = "the file of --health gives no answer";
  ordered_json output = failure.empty() ? told.values.back() : outputs({.failure = failure});
  const Told written = work_apart(
      [&](const Tell& /*tell*/) {
        if (!options.prom.empty()) write_file_durably(options.prom, output[2].get<std::string>());
        if (!options.junit.empty()) write_file_durably(options.junit, output[3].get<std::string>());
      },
      kAllSeconds - seconds_since(start));
  const bool whole = written.ended && written.error.empty();
  if (!whole && failure.empty())
    failure = written.error.empty() ? "--prom, --junit: not written in time" : written.error;
  if (!whole && output[0] != static_cast<int>(Severity::critical)) output = outputs({.failure = failure});
  if (!failure.empty()) fmt::print(stderr, "error: {}\n", printable(failure));
  fmt::print("{}", output[1].get<std::string>());
  return output[0];
}

}  // namespace trainer::doctor
