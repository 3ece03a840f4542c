#include "trainer/doctor/prolog.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/doctor/apart.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"

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

}  // namespace

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
