// How a node is judged, and what is written about it.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/doctor/prolog.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

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

}  // namespace trainer::doctor
