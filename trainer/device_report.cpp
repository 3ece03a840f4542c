// Text and JSON of the report, and the record's machine and version blocks.
#include "trainer/device_report.hpp"

#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include "trainer/version.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

double gib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

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

}  // namespace

std::string device_report(const DeviceInfo& info, const std::string& gpu_reason) {
  const CpuInfo& cpu = info.cpu;
  std::string text;
  const auto line = [&text](const char* key, const std::string& value) {
    text += fmt::format("{:<14}{}\n", key, value);
  };
  if (!gpu_reason.empty()) line("GPU", "none used: " + gpu_reason);
  line("CPU", cpu.model);
  line("cores",
       fmt::format("{} usable, {} {} used", cpu.cores, cpu.threads, cpu.threads == 1 ? "thread" : "threads"));
  line("instructions",
       fmt::format("{} (oneDNN {}), own loops for {}", cpu.instruction_set, cpu.onednn_version, cpu.loops));
  line("memory",
       fmt::format("{:.2f} GiB, {:.2f} GiB available", gib(cpu.memory_bytes), gib(cpu.available_bytes)));
  return text;
}

ordered_json device_json(const DeviceInfo& info, const std::string& gpu_reason) {
  const CpuInfo& cpu = info.cpu;
  ordered_json json;
  json["kind"] = info.kind;
  json["name"] = info.name;
  json["gpu"] = {{"used", gpu_reason.empty()}, {"reason", gpu_reason}};
  json["cpu"] = {{"model", cpu.model},
                 {"cores", cpu.cores},
                 {"threads", cpu.threads},
                 {"instruction_set", cpu.instruction_set},
                 {"loops", cpu.loops},
                 {"memory_bytes", cpu.memory_bytes},
                 {"available_bytes", cpu.available_bytes}};
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
  return json;
}

}  // namespace trainer
