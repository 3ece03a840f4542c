// The output of trainer doctor: a checklist for people, the same as JSON, and rows of known failures.
#include <fmt/format.h>

#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

ordered_json known_json(const std::vector<KnownFailure>& rows) {
  ordered_json all = ordered_json::array();
  for (const KnownFailure& row : rows)
    all.push_back({{"key", row.key},
                   {"exit_status", exit_status(row.kind)},
                   {"class", meaning(row.kind)},
                   {"cause", filled_in(row.cause)},
                   {"sure", filled_in(row.sure)},
                   {"fix", filled_in(row.fix)}});
  return all;
}

}  // namespace

std::string report_text(const Facts& facts, const std::vector<Check>& checks) {
  return check_text(checks) + verdict(facts, checks) + "\n";
}

ordered_json report_json(const Facts& facts, const std::vector<Check>& checks) {
  const FailureClass kind = class_of(checks);
  ordered_json json{{"kind", "doctor"},
                    {"verdict", verdict(facts, checks)},
                    {"exit_status", exit_status(kind)},
                    {"class", meaning(kind)},
                    {"trains_on", trains_on_gpu(facts) ? fmt::format("cuda:{}", facts.gpu.device) : "cpu"},
                    {"checks", ordered_json::array()}};
  for (const Check& check : checks) json["checks"].push_back(check_json(check));
  json["speed"] = facts.speed ? speed_json(*facts.speed) : ordered_json(nullptr);
  return json;
}

ordered_json check_json(const Check& check) {
  ordered_json row{{"state", word(check.state)}, {"name", check.name}, {"finding", check.finding}};
  if (check.state == CheckState::problem)
    row.update({{"cause", check.cause},
                {"fix", check.fix},
                {"exit_status", exit_status(check.kind)},
                {"class", meaning(check.kind)}});
  return row;
}

ordered_json speed_json(const SpeedFacts& speed) {
  const auto known = [](double value) { return value > 0 ? ordered_json(value) : ordered_json(nullptr); };
  ordered_json json{{"gpu", speed.gpu},
                    {"precision", speed.precision},
                    {"flops_per_second", known(speed.flops)},
                    {"flops_per_second_expected", known(speed.flops_expected)},
                    {"memory_bytes_per_second", known(speed.memory_bytes)},
                    {"memory_bytes_per_second_expected", known(speed.memory_expected)},
                    {"upload_bytes_per_second", known(speed.upload_bytes)},
                    {"download_bytes_per_second", known(speed.download_bytes)},
                    {"sm_clock_peak_mhz", speed.sm_clock_peak_mhz},
                    {"sm_clock_mhz", json_of(speed.sensors.sm_clock_mhz)},
                    {"power_limit_watts", json_of(speed.sensors.power_limit_watts)},
                    {"power_default_watts", json_of(speed.sensors.power_default_watts)},
                    {"temperature_celsius", json_of(speed.sensors.temperature_celsius)},
                    {"throttle_reasons", json_of(speed.sensors.throttle_reasons)},
                    {"pcie_generation", json_of(speed.sensors.pcie_generation)},
                    {"pcie_lanes", json_of(speed.sensors.pcie_lanes)},
                    {"pcie_lanes_peak", json_of(speed.sensors.pcie_lanes_peak)},
                    {"nvlinks", json_of(speed.sensors.nvlinks)},
                    {"corrected_errors", json_of(speed.sensors.corrected_errors)},
                    {"uncorrected_errors", json_of(speed.sensors.uncorrected_errors)},
                    {"reasons", reasons_for_slowness(speed)},
                    {"peers", ordered_json::array()}};
  for (const SpeedFacts::Peer& peer : speed.peers)
    json["peers"].push_back({{"device", peer.device}, {"bytes_per_second", peer.bytes}});
  return json;
}

std::string explanation_text(const Explanation& explanation) {
  std::string text;
  for (const KnownFailure& row : explanation.found)
    text += fmt::format("{} (exit status {}, {})\n  cause  {}\n  sure   {}\n  fix    {}\n", row.key,
                        exit_status(row.kind), meaning(row.kind), filled_in(row.cause), filled_in(row.sure),
                        filled_in(row.fix));
  if (explanation.found.empty()) text = "no row for this message\n";
  if (!explanation.nearest.empty()) text += "nearest by their words:\n";
  for (const KnownFailure& row : explanation.nearest)
    text += fmt::format("  {:<24} {}\n", row.key, row.example);
  return text;
}

ordered_json explanation_json(const Explanation& explanation) {
  return {{"kind", "doctor explanation"},
          {"found", known_json(explanation.found)},
          {"nearest", known_json(explanation.nearest)}};
}

// A label's value is escaped as a string of JSON is.
std::string gauge_text(std::string_view name, std::string_view help, const std::vector<Sample>& samples) {
  std::string text = fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help);
  for (const Sample& sample : samples) {
    std::string labels;
    for (const auto& [label, value] : sample.labels)
      labels += fmt::format("{}{}={}", labels.empty() ? "{" : ",", label, to_text(value));
    text += fmt::format("{}{}{} {}\n", name, labels, labels.empty() ? "" : "}", sample.value);
  }
  return text;
}

std::string exit_classes_text() {
  std::string text = fmt::format("Exit status:\n   0  {}\n   1  {}\n   2  wrong usage\n",
                                 meaning(FailureClass::healthy), meaning(FailureClass::failed));
  for (const ClassMeaning& row : class_meanings())
    if (exit_status(row.kind) > 1) text += fmt::format("  {:>2}  {}\n", exit_status(row.kind), row.meaning);
  return text;
}

}  // namespace trainer::doctor
