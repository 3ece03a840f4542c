// Text and JSON of the report, and the record's machine and version blocks.
#include "trainer/device/device_report.hpp"

#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sys/utsname.h>

#include "trainer/device/gpu_report.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

// PRETTY_NAME of /etc/os-release.
std::string distribution() {
  std::ifstream in("/etc/os-release");
  const std::string key = "PRETTY_NAME=";
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    std::string name = line.substr(key.size());
    std::erase(name, '"');
    return name;
  }
  return "unknown";
}

// On a machine without a GPU in use, where the CPU is the whole story.
std::string cpu_details(const CpuInfo& cpu) {
  return report_line("CPU", cpu.model) +
         report_line("cores", fmt::format("{} usable, {} {} used", cpu.cores, cpu.threads,
                                          cpu.threads == 1 ? "thread" : "threads")) +
         report_line("instructions", fmt::format("{} (oneDNN {}), own loops for {}", cpu.instruction_set,
                                                 cpu.onednn_version, cpu.loops)) +
         report_line("memory", fmt::format("{:.2f} GiB, {:.2f} GiB available", gib(cpu.memory_bytes),
                                           gib(cpu.available_bytes)));
}

std::string cpu_in_one_line(const CpuInfo& cpu) {
  return report_line(
      "CPU", fmt::format("{}, {} cores usable, {:.2f} GiB", cpu.model, cpu.cores, gib(cpu.memory_bytes)));
}

ordered_json cpu_json(const CpuInfo& cpu) {
  return {{"model", cpu.model},
          {"cores", cpu.cores},
          {"threads", cpu.threads},
          {"instruction_set", cpu.instruction_set},
          {"loops", cpu.loops},
          {"memory_bytes", cpu.memory_bytes},
          {"available_bytes", cpu.available_bytes}};
}

ordered_json gpu_with_code(const GpuInfo& gpu, const std::optional<GpuSoftware>& software) {
  ordered_json json = gpu_json(gpu);
  json["code"] = software ? gpu_code_json(gpu, *software) : ordered_json(nullptr);
  return json;
}

}  // namespace

std::string device_report(const DeviceInfo& info, const std::string& gpu_reason) {
  std::string text = gpu_block(info.gpus);
  const GpuSoftware* software = info.gpu_software ? &*info.gpu_software : nullptr;
  for (const GpuInfo& gpu : info.gpus) text += gpu_details(gpu, software, info.gpus.size() > 1);
  if (info.gpu && info.gpus.size() > 1) text += report_line("in use", fmt::format("GPU {}", info.gpu->index));
  if (software != nullptr) text += gpu_software_details(*software);
  if (!gpu_reason.empty()) text += report_line("GPU", "none used: " + gpu_reason);
  return text + (info.gpu ? cpu_in_one_line(info.cpu) : cpu_details(info.cpu));
}

ordered_json device_json(const DeviceInfo& info, const std::string& gpu_reason) {
  ordered_json json;
  json["kind"] = info.kind;
  json["name"] = info.name;
  json["gpu"] = {{"used", gpu_reason.empty()}, {"reason", gpu_reason}};
  if (info.gpu) json["gpu"].update(gpu_with_code(*info.gpu, info.gpu_software));
  if (info.gpu_software) json["gpu_software"] = gpu_software_json(*info.gpu_software);
  for (const GpuInfo& gpu : info.gpus) json["gpus"].push_back(gpu_with_code(gpu, info.gpu_software));
  json["cpu"] = cpu_json(info.cpu);
  return json;
}

ordered_json machine_json(const DeviceInfo& info) {
  utsname name{};
  uname(&name);
  ordered_json json;
  json["host"] = name.nodename;
  json["system"] = distribution();
  json["kernel"] = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  json["cpu"] = info.cpu.model;
  json["cores"] = info.cpu.cores;
  json["memory_bytes"] = info.cpu.memory_bytes;
  if (info.gpu) json["gpu"] = info.gpu->name;
  return json;
}

ordered_json versions_json(const DeviceInfo& info) {
  ordered_json json;
  json["trainer"] = kVersion;
  json["commit"] = kCommit;
  json["compiler"] = kCompiler;
  json["build"] = kBuildType;
  json["onednn"] = info.cpu.onednn_version;
  json["fmt"] = FMT_VERSION;
  json["nlohmann_json"] = fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                      NLOHMANN_JSON_VERSION_PATCH);
  if (info.gpu_software) json.update(gpu_software_json(*info.gpu_software));
  return json;
}

}  // namespace trainer
