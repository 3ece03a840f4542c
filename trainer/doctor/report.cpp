// What was not looked at, the verdict, which says what it rests on, and the output of trainer doctor: a checklist for people, the same
// as JSON, and rows of known failures.
#include <algorithm>
#include <fmt/format.h>

#include "trainer/device/device_report.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

const char* why_left_out(std::string_view name, const Facts& facts) {
  if (name == "proof") return "trainer doctor --prove compares every bit of a training";
  if (name == "speed") return "--quick, or there is no GPU to measure";
  if (name == "MPI") return "none found; several devices need one: apt install openmpi-bin";
  if (facts.asks_for_cpu) return "--device cpu";
  if (!shows_gpu(facts.gpu)) return "no NVIDIA GPU here";
  if (name == "NCCL") return "none found; several GPUs need it: apt install libnccl2";
  return name == "libraries" || name == "cuBLASLt" ? "this program needs none"
                                                   : "neither the driver nor NVML tells it";
}

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

bool shows_gpu(const GpuFacts& gpu) {
  return gpu.devices > 0 || gpu.around.pci_gpus > 0 || !gpu.around.device_files.empty() ||
         !gpu.around.kernel_module.empty();
}

std::string cores_text(const CpuInfo& cpu) {
  return fmt::format("{} {}{}", cpu.cores, cpu.cores == 1 ? "core" : "cores", quota_text(cpu));
}

bool trains_on_gpu(const Facts& facts) {
  return facts.gpu.engine && !facts.gpu.failure && !facts.asks_for_cpu;
}

void add_left_out(const Facts& facts, std::vector<Check>* checks) {
  for (const char* name :
       {"driver", "device files", "visibility", "libraries", "cuBLASLt", "GPU", "GPU memory", "compute mode",
        "MIG", "GPU errors", "NVML", "NCCL", "MPI", "speed", "proof"})
    if (std::ranges::find(*checks, name, &Check::name) == checks->end())
      checks->push_back({CheckState::not_run, name, why_left_out(name, facts)});
}

std::string verdict(const Facts& facts, const std::vector<Check>& checks) {
  const auto problems = std::ranges::count(checks, CheckState::problem, &Check::state);
  if (problems > 0) {
    const FailureClass kind = class_of(checks);
    return fmt::format("{} {}; exit status {}: {}", problems, problems == 1 ? "problem" : "problems",
                       exit_status(kind), meaning(kind));
  }
  std::string run;
  for (const Check& check : checks)
    if (check.state != CheckState::not_run) run += (run.empty() ? "; run: " : ", ") + check.name;
  const std::string cpu = fmt::format("{}, {}", cores_text(facts.cpu), facts.cpu.instruction_set);
  if (trains_on_gpu(facts))
    return fmt::format("healthy: trains on GPU {}, {}, or with --device cpu on {}{}", facts.gpu.device,
                       facts.gpu.info.value_or(GpuInfo{}).name, cpu, run);
  const char* reason = facts.gpu.engine ? "the GPU cannot be used" : "built without the GPU engine";
  if (!shows_gpu(facts.gpu)) reason = "no NVIDIA GPU here";
  if (facts.asks_for_cpu) reason = "--device cpu";
  return fmt::format("healthy: trains on the CPU, {} ({}){}", cpu, reason, run);
}

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
