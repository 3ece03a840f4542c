// Text and JSON of the report, and the record's machine and version blocks.
#include "trainer/device/device_report.hpp"

#include <fmt/ranges.h>
#include <fstream>
#include <sys/utsname.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/device/device_limits.hpp"
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

// The details of a CPU that trains without a GPU.
std::string cpu_details(const CpuInfo& cpu) {
  return report_line("CPU", cpu.model) +
         report_line("cores", fmt::format("{} usable{}, {} {} used{}", cpu.cores, quota_text(cpu),
                                          cpu.threads, cpu.threads == 1 ? "thread" : "threads",
                                          cpu.as_shards ? ", as many as a batch has shards" : "")) +
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
          {"quota", json_of(cpu.quota)},
          {"threads", cpu.threads},
          {"instruction_set", cpu.instruction_set},
          {"loops", cpu.loops},
          {"memory_bytes", cpu.memory_bytes},
          {"available_bytes", cpu.available_bytes}};
}

std::string memory_size(const std::optional<std::uint64_t>& bytes) {
  return bytes ? fmt::format("{:.2f}GiB", gib(*bytes)) : kUnknown;
}

// kHz in GHz with six significant digits, as a default ostream prints it: 0.8235, 1.98.
std::string ghz(int khz) {
  return fmt::format("{:g}", khz / 1e6);
}

ordered_json json_or_null(const std::string& value) {
  return value.empty() ? ordered_json(nullptr) : ordered_json(value);
}

std::string text_or_unknown(const std::string& value) {
  return value.empty() ? kUnknown : value;
}

std::string memory_text(const GpuInfo& gpu) {
  const double bytes = expected_memory(gpu).per_second;
  return fmt::format("{} bit at {} GHz: {}, L2 {:.2f} MiB, ECC {}", gpu.bus_width_bits,
                     gpu.memory_clock_khz > 0 ? ghz(gpu.memory_clock_khz) : kUnknown,
                     bytes > 0 ? fmt::format("{:.1f} GB/s", bytes / 1e9) : kUnknown,
                     static_cast<double>(gpu.l2_bytes) / (1 << 20), gpu.ecc ? "on" : "off");
}

std::string sensors_text(const GpuSensors& sensors) {
  return fmt::format(
      "power {} of {}, {}, utilisation {}, energy {}", text_of(sensors.power_watts, "{:.1f} W"),
      text_of(sensors.power_limit_watts, "{:.1f} W"), text_of(sensors.temperature_celsius, "{} C"),
      text_of(sensors.utilisation_percent, "{} %"), text_of(sensors.energy_joules, "{:.1f} J"));
}

std::string clocks_text(const GpuSensors& sensors) {
  return fmt::format("SM {}, memory {}, held back by: {}", text_of(sensors.sm_clock_mhz, "{} MHz"),
                     text_of(sensors.memory_clock_mhz, "{} MHz"), throttle_text(sensors.throttle_reasons));
}

std::string mig_text(const std::optional<bool>& mig) {
  return !mig ? kUnknown : *mig ? "on" : "off";
}

// The value labelled memoryClockRate is the SM's clock: the label is TensorFlow's mistake, kept for comparison. With several
// GPUs, a table follows that tells which can read whose memory.
std::string gpu_block(const std::vector<GpuInfo>& gpus) {
  std::string text;
  for (const GpuInfo& gpu : gpus) {
    text += fmt::format("Found device {} with properties:\n", gpu.index);
    text += fmt::format("name: {}\n", gpu.name);
    text += fmt::format("major: {} minor: {} memoryClockRate (GHz) {}\n", gpu.major, gpu.minor,
                        ghz(gpu.sm_clock_khz));
    text += fmt::format("pciBusID {}\n", gpu.pci_bus_id);
    text += fmt::format("Total memory: {}\n", memory_size(gpu.total_bytes));
    text += fmt::format("Free memory: {}\n", memory_size(gpu.free_bytes));
  }
  if (gpus.size() < 2) return text;
  text += "DMA: ";
  for (const GpuInfo& gpu : gpus) text += fmt::format("{} ", gpu.index);
  text += '\n';
  for (const GpuInfo& gpu : gpus) {
    text += fmt::format("{}:   ", gpu.index);
    for (const bool reachable : gpu.peers) text += reachable ? "Y " : "N ";
    text += '\n';
  }
  return text;
}

// `software` may be null.
std::string gpu_details(const GpuInfo& gpu, const GpuSoftware* software, bool several) {
  std::string text;
  const std::string title = several ? fmt::format("GPU {}", gpu.index) : "GPU";
  text += report_line(title, fmt::format("{}, compute capability {}.{}, {}", gpu.name, gpu.major, gpu.minor,
                                         text_or_unknown(gpu.uuid)));
  text +=
      report_line("  processor", fmt::format("{} multiprocessors at {} GHz at most, each with {} KiB shared "
                                             "memory, {} registers; warps of {}",
                                             gpu.multiprocessors, ghz(gpu.sm_clock_khz),
                                             gpu.shared_bytes / 1024, gpu.registers, gpu.warp_size));
  text += report_line("  memory", memory_text(gpu));
  text += report_line("  mode", fmt::format("compute mode {}, MIG {}", gpu.compute_mode, mig_text(gpu.mig)));
  text += report_line("  clocks now", clocks_text(gpu.sensors));
  text += report_line("  state", sensors_text(gpu.sensors));
  if (software != nullptr) {
    const GpuArchitectures built = parse_architectures(software->architectures);
    text += report_line("  code", code_text(built, gpu.major, gpu.minor));
  }
  return text;
}

std::string gpu_software_details(const GpuSoftware& software) {
  return report_line("built for", architectures_text(parse_architectures(software.architectures))) +
         report_line(
             "driver",
             fmt::format("{} (CUDA {} at most), runtime {}{}", text_or_unknown(software.driver),
                         text_or_unknown(software.driver_cuda), text_or_unknown(software.runtime),
                         software.wsl ? "; the driver of Windows, which passes on to WSL 2 only a part "
                                        "of what NVML tells: the rest is n/a"
                                      : "")) +
         report_line("libraries",
                     fmt::format("cuDNN {}, cuBLAS {}, NCCL {}", text_or_unknown(software.cudnn),
                                 text_or_unknown(software.cublas), text_or_unknown(software.nccl)));
}

ordered_json gpu_code_json(const GpuInfo& gpu, const GpuSoftware& software) {
  const GpuArchitectures built = parse_architectures(software.architectures);
  const GpuCode code = code_for(built, gpu.major, gpu.minor);
  static constexpr const char* kKinds[] = {"none", "machine code", "ptx"};
  return {{"kind", kKinds[static_cast<int>(code.kind)]},
          {"from", code.kind == GpuCode::Kind::none ? ordered_json(nullptr)
                                                    : ordered_json(architecture_name(code.from))},
          {"text", code_text(built, gpu.major, gpu.minor)}};
}

ordered_json gpu_json(const GpuInfo& gpu, const std::optional<GpuSoftware>& software) {
  const double bandwidth = expected_memory(gpu).per_second;
  ordered_json json{
      {"index", gpu.index},
      {"name", gpu.name},
      {"major", gpu.major},
      {"minor", gpu.minor},
      {"uuid", json_or_null(gpu.uuid)},
      {"pci_bus_id", gpu.pci_bus_id},
      {"total_bytes", gpu.total_bytes},
      {"free_bytes", json_of(gpu.free_bytes)},
      {"multiprocessors", gpu.multiprocessors},
      {"sm_clock_khz", gpu.sm_clock_khz},
      {"memory_clock_khz", gpu.memory_clock_khz},
      {"bus_width_bits", gpu.bus_width_bits},
      {"memory_bytes_per_second", bandwidth > 0 ? ordered_json(bandwidth) : ordered_json(nullptr)},
      {"l2_bytes", gpu.l2_bytes},
      {"shared_bytes_per_multiprocessor", gpu.shared_bytes},
      {"registers_per_multiprocessor", gpu.registers},
      {"warp_size", gpu.warp_size},
      {"ecc", gpu.ecc},
      {"compute_mode", gpu.compute_mode},
      {"mig", json_of(gpu.mig)},
      {"peers", gpu.peers}};
  json.update(sensors_json(gpu.sensors, "_now"));
  json["code"] = software ? gpu_code_json(gpu, *software) : ordered_json(nullptr);
  return json;
}

ordered_json gpu_software_json(const GpuSoftware& software) {
  return {{"driver", json_or_null(software.driver)},
          {"driver_cuda", json_or_null(software.driver_cuda)},
          {"runtime", json_or_null(software.runtime)},
          {"cudnn", json_or_null(software.cudnn)},
          {"cublas", json_or_null(software.cublas)},
          {"nccl", json_or_null(software.nccl)},
          {"architectures", architectures_text(parse_architectures(software.architectures))}};
}

}  // namespace

std::string quota_text(const CpuInfo& cpu) {
  return cpu.quota ? fmt::format(" (a quota of {:.3g})", *cpu.quota) : "";
}

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
  ordered_json json = ordered_json::object();
  json["kind"] = info.kind;
  json["name"] = info.name;
  json["gpu"] = {{"used", gpu_reason.empty()}, {"reason", gpu_reason}};
  if (info.gpu) json["gpu"].update(gpu_json(*info.gpu, info.gpu_software));
  if (info.gpu_software) json["gpu_software"] = gpu_software_json(*info.gpu_software);
  for (const GpuInfo& gpu : info.gpus) json["gpus"].push_back(gpu_json(gpu, info.gpu_software));
  json["cpu"] = cpu_json(info.cpu);
  return json;
}

ordered_json sensors_json(const GpuSensors& sensors, const std::string& now) {
  return {{"power_watts", json_of(sensors.power_watts)},
          {"power_limit_watts", json_of(sensors.power_limit_watts)},
          {"temperature_celsius", json_of(sensors.temperature_celsius)},
          {"utilisation_percent", json_of(sensors.utilisation_percent)},
          {"sm_clock_mhz" + now, json_of(sensors.sm_clock_mhz)},
          {"memory_clock_mhz" + now, json_of(sensors.memory_clock_mhz)},
          {"throttle_reasons", json_of(sensors.throttle_reasons)},
          {"energy_joules", json_of(sensors.energy_joules)}};
}

std::string throttle_text(const std::optional<std::vector<std::string>>& reasons) {
  if (!reasons) return kUnknown;
  return reasons->empty() ? "nothing" : fmt::format("{}", fmt::join(*reasons, ", "));
}

ordered_json machine_json(const DeviceInfo& info) {
  utsname name{};
  uname(&name);
  ordered_json json = ordered_json::object();
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
  ordered_json json = ordered_json::object();
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
