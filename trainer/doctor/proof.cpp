// What is proven, the evidence about what is not, down to the first step and element, and why something was left out.
#include "trainer/doctor/proof.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <stdexcept>

#include "kernels/backend.hpp"
#include "kernels/portable/known_digests.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kNetwork = "sprint-lean";
constexpr std::uint64_t kSeed = 1;

bool asks_for_all(const std::string& device) {
  return device == "auto" || device == "all";
}

// The digest is read, never computed: a program whose own arithmetic is damaged does not agree with it.
Proof planned_proof() {
  for (const KnownDigest& row : known_digests())
    if (row.network == kNetwork && row.seed == kSeed && row.steps == 0)
      return {std::string(kNetwork), kSeed, std::string(row.digest)};
  throw std::logic_error(
      fmt::format("this program knows no digest of {} with seed {}: install it anew", kNetwork, kSeed));
}

std::vector<DeviceRow> devices_of(const ProofOptions& options) {
  const std::optional<int> index = cuda_index(options.device);
  std::vector<DeviceRow> rows;
  for (const GpuInfo& gpu : options.device == "cpu" ? std::vector<GpuInfo>{} : all_gpus())
    if (!index || *index == gpu.index)
      rows.push_back({.device = fmt::format("cuda:{}", gpu.index),
                      .name = gpu.name,
                      .bus_id = gpu.pci_bus_id,
                      .uuid = gpu.uuid});
  if (options.device == "cpu" || (asks_for_all(options.device) && !options.speed))
    rows.push_back({.device = "cpu", .name = describe_cpu(1).model, .gpu = false});
  return rows;
}

void require_meaning(const ProofOptions& options) {
  if (!asks_for_all(options.device) && options.device != "cpu" && !cuda_index(options.device))
    throw UsageError(fmt::format("--device {}: one of all, cpu, cuda, cuda:N", options.device));
  if (options.minutes && !std::isfinite(*options.minutes))
    throw UsageError(fmt::format("--minutes {}: a time in minutes is a number", *options.minutes));
}

// Why there is no GPU to prove, as the checklist says it; nothing if the machine shows none and none was asked for.
std::optional<ProofOutcome> refusal(const ProofOptions& options, const Nvml& nvml) {
  Facts facts;
  facts.require_gpu = options.require_gpu || options.speed || !asks_for_all(options.device);
  facts.gpu = gather_gpu(*open_gpu_probe(), nvml, cuda_index(options.device).value_or(0));
  std::vector<Check> checks = check_all(facts);
  std::erase_if(checks, [](const Check& check) { return check.name != "GPU"; });
  const FailureClass kind = class_of(checks);
  if (kind == FailureClass::healthy) return std::nullopt;
  return ProofOutcome{options.json ? report_json(facts, checks).dump(2) + "\n" : report_text(facts, checks),
                      exit_status(kind), ""};
}

std::vector<Check> left_out(const ProofOptions& options, const Proof& proof, const Nvml& nvml) {
  std::vector<Check> checks;
  const auto leave_out = [&](bool applies, const char* name, const std::string& why) {
    if (applies) checks.push_back({CheckState::not_run, name, why});
  };
  const bool gpus = std::ranges::any_of(proof.rows, &DeviceRow::gpu);
  const auto knows_xids = [](const DeviceRow& row) { return !row.gpu || row.after.xids; };
  leave_out(!gpus, "GPU", options.device == "cpu" ? "--device cpu" : gpu_availability().reason);
  leave_out(std::ranges::all_of(proof.rows, &DeviceRow::gpu), "CPU", "--prove --device all proves it too");
  leave_out(!options.speed, "speed", "--all measures it");
  for (const char* name : {"tensor cores", "bf16", "libraries"})
    leave_out(gpus, name, "scripts/gpu_check.sh compares them with a reference");
  leave_out(gpus && nvml.start() != 0, "temperature, clocks, ECC", "NVML, which reads them, does not answer");
  leave_out(!std::ranges::all_of(proof.rows, knows_xids), "faults (Xid)",
            "this user may not read the kernel's log");
  return checks;
}

// All that is known about a wrong device, for its maker.
std::string write_evidence(const fs::path& folder, const DeviceRow& row, const Proof& proof,
                           const Nvml& nvml) {
  const std::time_t now = std::time(nullptr);
  std::string name = row.device;
  std::ranges::replace(name, ':', '-');
  const fs::path path = folder / fmt::format("proof-{:%Y%m%d-%H%M%S}-{}.json", fmt::localtime(now), name);
  ordered_json json{{"kind", "evidence of doctor --prove"},
                    {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S%z}", fmt::localtime(now))},
                    {"program", kVersion},
                    {"commit", kCommit},
                    {"driver", nvml.driver_version()},
                    {"network", proof.network},
                    {"seed", proof.seed},
                    {"digest", proof.digest}};
  json.update(row_json(row, proof));
  fs::create_directories(folder);
  write_file_durably(path, to_text(json, 2) + "\n");
  return path.string();
}

void keep_evidence(const fs::path& folder, const Nvml& nvml, Proof* proof) {
  for (DeviceRow& row : proof->rows) {
    if (verdict_of(row, *proof) != Verdict::wrong) continue;
    try {
      row.evidence = write_evidence(folder, row, *proof, nvml);
    } catch (const std::exception& error) {
      row.evidence = fmt::format("not written: {}", error.what());
    }
  }
}

std::uint32_t bits_at(std::span<const std::byte> bytes, std::size_t element) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + element * sizeof(bits), sizeof(bits));
  return bits;
}

ordered_json difference_of(const Tensor& is, std::span<const std::byte> should) {
  constexpr std::size_t kMostElements = 16;
  const std::size_t elements = is.bytes.size() / sizeof(std::uint32_t);
  std::size_t differ = 0;
  ordered_json first = ordered_json::array();
  for (std::size_t i = 0; i < elements; ++i) {
    if (bits_at(is.bytes, i) == bits_at(should, i)) continue;
    if (differ++ < kMostElements)
      first.push_back({{"element", i},
                       {"is", fmt::format("0x{:08x}", bits_at(is.bytes, i))},
                       {"should", fmt::format("0x{:08x}", bits_at(should, i))}});
  }
  return {{"tensor", is.name},
          {"op", is.name.substr(0, is.name.find('.'))},
          {"elements", elements},
          {"differ", differ},
          {"first", first}};
}

}  // namespace

std::optional<std::uint64_t> first_difference(const ordered_json& is, const ordered_json& should) {
  const auto [mine, other] = std::ranges::mismatch(is, should);
  if (mine == is.end() && other == should.end()) return std::nullopt;
  return (mine == is.end() ? *other : *mine).at("step").get<std::uint64_t>();
}

ordered_json differing_tensors(const SafetensorsFile& is, const SafetensorsFile& should) {
  ordered_json all = ordered_json::array();
  for (const Tensor& tensor : is.tensors()) {
    const ordered_json difference = difference_of(tensor, should.require(tensor.name, tensor.shape));
    if (difference["differ"] > 0) all.push_back(difference);
  }
  return all;
}

std::string comparison_text(const StepComparison& comparison) {
  if (comparison.step == 0 && !comparison.error.empty())
    return "it could not be compared step by step: " + comparison.error;
  if (comparison.step == 0)
    return fmt::format("{} more trainings of it, compared step by step with {}, do not differ",
                       comparison.trainings, comparison.beside);
  std::string text = fmt::format(
      "beside {} it differs from step {} on in {} of {} trainings, {} of them alike", comparison.beside,
      comparison.step, comparison.differing, comparison.trainings, comparison.same);
  if (!comparison.error.empty()) return text + "; its values then are not known: " + comparison.error;
  if (comparison.tensors.empty()) return text + "; trained again up to there it does not differ";
  const ordered_json& tensor = comparison.tensors[0];
  const ordered_json& first = tensor["first"][0];
  std::uint64_t differ = 0;
  for (const ordered_json& each : comparison.tensors) differ += each["differ"].get<std::uint64_t>();
  return text +
         fmt::format("; then {} elements differ, the first is element {} of {} (op {}): {} instead of {}",
                     differ, first["element"].dump(), tensor["tensor"].get<std::string>(),
                     tensor["op"].get<std::string>(), first["is"].get<std::string>(),
                     first["should"].get<std::string>());
}

ordered_json comparison_json(const StepComparison& comparison) {
  return {{"beside", comparison.beside},       {"beside_proven", comparison.beside_proven},
          {"error", comparison.error},         {"trainings", comparison.trainings},
          {"differing", comparison.differing}, {"same_difference", comparison.same},
          {"first_step", comparison.step},     {"tensors", comparison.tensors}};
}

ProofOutcome prove(const Environment& environment, const ProofOptions& options) {
  require_meaning(options);
  const Nvml nvml;
  Proof proof = planned_proof();
  proof.rows = devices_of(options);
  if (options.device != "cpu" && std::ranges::none_of(proof.rows, &DeviceRow::gpu))
    if (const std::optional<ProofOutcome> refused = refusal(options, nvml)) return *refused;
  ProofOptions started = options;
  started.program = environment.executable;
  Environment shipped = environment;
  shipped.data.reset();
  started.data = data_folder(shipped, "").string();
  if (const int stopped = run_proof(started, nvml, &proof); stopped != 0) return {"", 128 + stopped, ""};
  keep_evidence(runs_folder(environment.runs), nvml, &proof);
  proof.not_run = left_out(options, proof, nvml);
  const std::vector<Check> findings = judge(proof);
  return {options.json ? to_text(proof_json(proof, findings), 2) + "\n" : proof_text(proof, findings),
          exit_status(class_of(findings)),
          proof_metrics(proof, static_cast<std::uint64_t>(std::time(nullptr)))};
}

}  // namespace trainer::doctor
