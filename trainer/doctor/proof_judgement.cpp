// What a proof says of each device, and the report.
#include <algorithm>
#include <fmt/ranges.h>

#include "models/words.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/doctor/proof.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

bool is_wrong(const ProofRun& run, const Proof& proof) {
  return run.error.empty() && run.digest != proof.digest;
}

std::ptrdiff_t wrong_runs(const DeviceRow& row, const Proof& proof) {
  return std::ranges::count_if(row.runs, [&](const ProofRun& run) { return is_wrong(run, proof); });
}

std::ptrdiff_t failed_runs(const DeviceRow& row) {
  return std::ranges::count_if(row.runs, [](const ProofRun& run) { return !run.error.empty(); });
}

// The first run that is wrong, else the first that ended: the digest to show.
std::string shown_digest(const DeviceRow& row, const Proof& proof) {
  for (const ProofRun& run : row.runs)
    if (is_wrong(run, proof)) return run.digest;
  return failed_runs(row) < std::ssize(row.runs) ? proof.digest : "none";
}

std::vector<double> seconds_of(const DeviceRow& row) {
  std::vector<double> seconds;
  for (const ProofRun& run : row.runs)
    if (run.error.empty()) seconds.push_back(run.seconds);
  return seconds;
}

// One number of the measured speed; 0 if it is unknown.
double measured(const DeviceRow& row, const char* name) {
  const auto value = row.speed.is_object() ? row.speed.value(name, ordered_json()) : ordered_json();
  return value.is_number() ? value.get<double>() : 0;
}

std::string_view word(Verdict verdict) {
  return verdict == Verdict::proven ? "proven" : verdict == Verdict::wrong ? "wrong" : "failed";
}

Check wrong_results(const DeviceRow& row, const Proof& proof) {
  const bool reference = (row.comparison && row.comparison->beside_proven) ||
                         std::ranges::any_of(proof.rows, [&](const DeviceRow& other) {
                           return verdict_of(other, proof) == Verdict::proven;
                         });
  const bool again =
      row.comparison && row.comparison->same > 0 && row.comparison->same == row.comparison->trainings;
  const char* when = again ? "" : "now and then";
  const Failure failure = found_failure("proof-digest", reference ? when : "no reference", {});
  std::string finding =
      fmt::format("{} of {} trainings ended with another digest than the one in this program",
                  wrong_runs(row, proof), row.runs.size());
  if (row.comparison) finding += "; " + comparison_text(*row.comparison);
  if (!row.evidence.empty()) finding += "; evidence: " + row.evidence;
  return {CheckState::problem, row.device, finding, failure.cause, failure.fix, failure.kind};
}

void judge_device(const DeviceRow& row, std::vector<Check>* findings) {
  const auto add = [&](const std::string& why) {
    findings->push_back({CheckState::problem, row.device, why, "", "", FailureClass::failed});
  };
  if (const auto failed = failed_runs(row); failed > 0) {
    const auto first = std::ranges::find_if(row.runs, [](const ProofRun& run) { return !run.error.empty(); });
    add(fmt::format("{} of {} trainings failed: {}", failed, row.runs.size(), first->error));
  }
  if (!row.speed_error.empty()) add("the test of its speed failed: " + row.speed_error);
  if (const auto errors = row.after.sensors.uncorrected_errors.value_or(0); errors > 0)
    add(fmt::format("{} memory errors that ECC could not correct", errors));
  if (const int faults = row.after.xids.value_or(0) - row.before.xids.value_or(0);
      row.before.xids && faults > 0)
    add(fmt::format("the kernel logged {} faults (Xid) during the test", faults));
}

void judge_speed(const DeviceRow& row, const Proof& proof, std::vector<Check>* findings) {
  constexpr double kSlow = 0.1;
  const double slower = slowdown(row, proof.rows);
  if (slower <= kSlow) return;
  const auto reasons = row.speed.value("reasons", std::vector<std::string>());
  const std::string why = reasons.empty() ? "" : fmt::format(" ({})", fmt::join(reasons, ", "));
  findings->push_back({CheckState::problem, row.device,
                       fmt::format("{:.0f} % slower than the fastest {}{}", 100 * slower, row.name, why), "",
                       "", FailureClass::failed});
}

// ", 41 to 52 C", ", 41 C", or nothing if it is not known.
template <typename Value>
std::string change_text(const std::optional<Value>& before, const std::optional<Value>& after,
                        const char* unit) {
  if (!after) return "";
  return before && *before != *after ? fmt::format(", {} to {} {}", *before, *after, unit)
                                     : fmt::format(", {} {}", *after, unit);
}

std::string time_text(const DeviceRow& row) {
  const std::vector<double> seconds = seconds_of(row);
  if (seconds.empty()) return "";
  if (seconds.size() <= 5) return fmt::format(" in {:#.3g} s", fmt::join(seconds, ", "));
  const Spread spread = spread_of(seconds);
  return fmt::format(" in {:#.3g} s ({:#.3g} to {:#.3g})", spread.median, spread.least, spread.most);
}

// "NVIDIA H200: proven, 3 of 3 trainings in 0.02, 0.02, 0.02 s, digest 0a1b..., 41 to 43 C, ...", without what is unknown.
std::string device_text(const DeviceRow& row, const Proof& proof) {
  const auto good = std::ssize(row.runs) - failed_runs(row) - wrong_runs(row, proof);
  std::string text =
      fmt::format("{}: {}, {} of {} trainings{}, digest {}", row.name, word(verdict_of(row, proof)), good,
                  row.runs.size(), time_text(row), shown_digest(row, proof));
  const GpuSensors& before = row.before.sensors;
  const GpuSensors& after = row.after.sensors;
  text += change_text(before.temperature_celsius, after.temperature_celsius, "C");
  text += change_text(before.sm_clock_mhz, after.sm_clock_mhz, "MHz");
  text += change_text(before.corrected_errors, after.corrected_errors, "corrected and");
  text += change_text(before.uncorrected_errors, after.uncorrected_errors, "uncorrected memory errors");
  text += change_text(row.before.xids, row.after.xids, "faults (Xid) logged");
  return row.speed_text.empty() ? text : text + "; " + row.speed_text;
}

std::string verdict_text(const Proof& proof, const std::vector<Check>& findings) {
  if (!findings.empty()) {
    const FailureClass kind = class_of(findings);
    return fmt::format("{} of what was run is not as it should be; exit status {}: {}", findings.size(),
                       exit_status(kind), meaning(kind));
  }
  std::vector<std::string> devices;
  for (const DeviceRow& row : proof.rows) devices.push_back(row.device);
  return fmt::format("healthy in what was run: {} ended {} times with the digest in this program on {}",
                     proof.network, proof.rows.front().runs.size(), fmt::join(devices, ", "));
}

ordered_json reading_json(const Reading& reading) {
  ordered_json json = sensors_json(reading.sensors);
  json.update({{"corrected_errors", json_of(reading.sensors.corrected_errors)},
               {"uncorrected_errors", json_of(reading.sensors.uncorrected_errors)},
               {"xids", json_of(reading.xids)}});
  return json;
}

}  // namespace

Verdict verdict_of(const DeviceRow& row, const Proof& proof) {
  if (wrong_runs(row, proof) > 0) return Verdict::wrong;
  return row.runs.empty() || failed_runs(row) > 0 ? Verdict::failed : Verdict::proven;
}

double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows) {
  double slowest = 0;
  for (const char* rate : {"flops_per_second", "memory_bytes_per_second"}) {
    const double own = measured(row, rate);
    for (const DeviceRow& other : rows)
      if (row.gpu && own > 0 && other.name == row.name)
        slowest = std::max(slowest, measured(other, rate) / own - 1);
  }
  return slowest;
}

std::vector<Check> judge(const Proof& proof) {
  std::vector<Check> findings;
  for (const DeviceRow& row : proof.rows)
    if (wrong_runs(row, proof) > 0) findings.push_back(wrong_results(row, proof));
  for (const DeviceRow& row : proof.rows) {
    judge_device(row, &findings);
    judge_speed(row, proof, &findings);
  }
  return findings;
}

std::string proof_text(const Proof& proof, const std::vector<Check>& findings) {
  std::vector<Check> checks;
  for (const DeviceRow& row : proof.rows) {
    const bool odd = std::ranges::find(findings, row.device, &Check::name) != findings.end();
    checks.push_back({odd ? CheckState::note : CheckState::ok, row.device, device_text(row, proof)});
  }
  checks.insert(checks.end(), findings.begin(), findings.end());
  checks.insert(checks.end(), proof.not_run.begin(), proof.not_run.end());
  return check_text(checks) + verdict_text(proof, findings) + "\n";
}

ordered_json row_json(const DeviceRow& row, const Proof& proof) {
  ordered_json runs = ordered_json::array();
  for (const ProofRun& run : row.runs)
    runs.push_back({{"error", run.error},
                    {"seconds", run.error.empty() ? ordered_json(run.seconds) : nullptr},
                    {"digest", run.digest}});
  return {{"device", row.device},
          {"name", row.name},
          {"pci_bus_id", row.bus_id},
          {"uuid", row.uuid},
          {"verdict", word(verdict_of(row, proof))},
          {"runs", runs},
          {"before", reading_json(row.before)},
          {"after", reading_json(row.after)},
          {"comparison", row.comparison ? comparison_json(*row.comparison) : ordered_json(nullptr)},
          {"evidence", row.evidence},
          {"speed", row.speed},
          {"speed_error", row.speed_error},
          {"slowdown", slowdown(row, proof.rows)}};
}

ordered_json proof_json(const Proof& proof, const std::vector<Check>& findings) {
  const FailureClass kind = class_of(findings);
  ordered_json json{{"kind", "doctor proof"},      {"verdict", verdict_text(proof, findings)},
                    {"healthy", findings.empty()}, {"exit_status", exit_status(kind)},
                    {"class", meaning(kind)},      {"network", proof.network},
                    {"seed", proof.seed},          {"digest", proof.digest}};
  json["odd"] = json["not_run"] = json["devices"] = ordered_json::array();
  for (const Check& finding : findings) json["odd"].push_back(finding.name + ": " + finding.finding);
  for (const Check& check : proof.not_run) json["not_run"].push_back(check.name + ": " + check.finding);
  for (const DeviceRow& row : proof.rows) json["devices"].push_back(row_json(row, proof));
  return json;
}

std::string proof_metrics(const Proof& proof, std::uint64_t now) {
  std::string text;
  const auto gauge = [&](const std::string& name, std::string_view help, const auto& value) {
    std::vector<Sample> samples;
    for (const DeviceRow& row : proof.rows)
      samples.push_back(
          {{{"device", row.device}, {"name", row.name}, {"pci", row.bus_id}, {"uuid", row.uuid}},
           fmt::format("{}", value(row))});
    text += gauge_text("trainer_proof_" + name, help, samples);
  };
  gauge("passed", "1 if every training ended with the known digest.",
        [&](const DeviceRow& row) { return verdict_of(row, proof) == Verdict::proven ? 1 : 0; });
  gauge("trainings", "Trainings that were run.", [](const DeviceRow& row) { return row.runs.size(); });
  gauge("wrong", "Trainings that ended with another digest.",
        [&](const DeviceRow& row) { return wrong_runs(row, proof); });
  gauge("failed", "Trainings that did not end well.", failed_runs);
  gauge("seconds", "Median time in training; NaN if none ended.", [](const DeviceRow& row) {
    const std::vector<double> seconds = seconds_of(row);
    return seconds.empty() ? "NaN" : fmt::format("{}", median(seconds));
  });
  gauge("time_seconds", "When the proof ended, in seconds since 1970.",
        [&](const DeviceRow&) { return now; });
  return text;
}

int count_xids(const std::string& kernel_log, const std::string& bus_id) {
  const std::string log = lower(kernel_log);
  const std::string fault = "nvrm: xid (pci:" + bus_id.substr(0, bus_id.find('.'));
  int count = 0;
  for (std::size_t at = log.find(fault); at != std::string::npos; at = log.find(fault, at + 1)) ++count;
  return count;
}

}  // namespace trainer::doctor
