// Finds rows by their keys, fills words into their texts, and finds out which row says why a GPU cannot be used.
#include "kernels/gpu_host/gpu_failure.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/ranges.h>
#include <stdexcept>

#include "kernels/gpu_host/gpu_architectures.hpp"

namespace trainer {

namespace {

std::string word_for(std::string_view name, const FailureWords& words) {
  static const FailureWords kAlways{
      {"gpus_flag", "'docker run --gpus all' (Podman and CDI: --device nvidia.com/gpu=all)"},
      {"ssh", "ssh USER@HOST"},
      {"there", ""}};
  for (const FailureWords* known : {&words, &kAlways})
    if (const auto found = known->find(name); found != known->end()) return found->second;
  std::string capitals(name);
  for (char& letter : capitals) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return capitals;
}

// Codes of cudaError_t (driver_types.h), whose numbers have been the same since CUDA 10.1. Only those whose cause
// depends on the machine have a name here; all others are codes of rows.
enum Code {
  kOutOfMemory = 2,
  kInsufficientDriver = 35,
  kDevicesUnavailable = 46,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kDriverMismatch = 803,
  kUnknown = 999,
};

std::string variable_text(const std::optional<std::string>& value) {
  if (!value) return "unset";
  return value->empty() ? "empty" : "'" + *value + "'";
}

std::string files_text(const GpuSurroundings& around) {
  return around.device_files.empty() ? "no /dev/nvidia*"
                                     : fmt::format("{}", fmt::join(around.device_files, " "));
}

// The settings that decide which devices a process sees.
std::string visibility_text(const GpuSurroundings& around) {
  return fmt::format("CUDA_VISIBLE_DEVICES {}, NVIDIA_VISIBLE_DEVICES {}, device files: {}",
                     variable_text(around.cuda_visible_devices), variable_text(around.nvidia_visible_devices),
                     files_text(around));
}

std::string libcuda_text(const GpuSurroundings& around) {
  if (around.driver_library.empty()) return "libcuda.so.1";
  if (around.driver_version == 0) return around.driver_library;
  return fmt::format("{} (CUDA {})", around.driver_library, cuda_version_text(around.driver_version));
}

std::string driver_needed(int runtime_version) {
  const int major = runtime_version / 1000;
  if (major == 12) return "driver 525 or newer";
  if (major == 13) return "driver 580 or newer";
  return fmt::format("a driver for CUDA {}", cuda_version_text(runtime_version));
}

// The values of the words that the rows' texts may contain.
FailureWords words_of(const std::string& name, const GpuSurroundings& around) {
  return {
      {"name", name},
      {"seen", fmt::format("{}, {}", name, visibility_text(around))},
      {"visible", around.cuda_visible_devices.value_or("")},
      {"files", files_text(around)},
      {"libcuda", libcuda_text(around)},
      {"library", around.driver_library},
      {"module", "kernel module " + (around.kernel_module.empty() ? "not visible" : around.kernel_module)},
      {"version", around.kernel_module},
      {"gpus", around.pci_gpus > 1 ? fmt::format("{} NVIDIA GPUs", around.pci_gpus) : "NVIDIA GPU"},
      {"serves", around.driver_version > 0
                     ? "serves CUDA " + cuda_version_text(around.driver_version) + " at most"
                     : "does not say which CUDA it serves"},
      {"needs", cuda_version_text(around.runtime_version)},
      {"driver_needed", driver_needed(around.runtime_version)}};
}

// A row, and which of its findings applies.
struct Found {
  std::string_view key;
  std::string_view when;
};

Found no_driver_library(const GpuSurroundings& around) {
  const bool files = !around.device_files.empty();
  if (has_dxg(around)) return {"container-wsl", "no-library"};
  if (around.inside_container) return {"container-no-gpu", files ? "files-alone" : "nothing-given"};
  if (around.wsl) return {"container-wsl", "no-dxg"};
  if (!around.kernel_module.empty()) return {"driver-library", ""};
  return {around.pci_gpus > 0 || files ? "driver-not-loaded" : "no-gpu", ""};
}

bool hides_every_gpu(const std::string& value) {
  return value.empty() || value == "none" || value == "void";
}

// Whether CUDA_VISIBLE_DEVICES begins with what is certainly no GPU here: neither a UUID nor a number on the bus.
bool names_none(const std::string& visible, int pci_gpus) {
  if (visible.starts_with("GPU-") || visible.starts_with("MIG-")) return false;
  const std::string number = visible.substr(0, visible.find(','));
  const bool digits = number.find_first_not_of("0123456789") == std::string::npos && number.size() < 6;
  return !digits || (pci_gpus > 0 && std::stoi("0" + number) >= pci_gpus);
}

// A driver for Linux that was installed inside WSL stands before that of Windows.
bool hides_windows_driver(const GpuSurroundings& around) {
  return around.wsl && !around.inside_container && !around.driver_library.empty() &&
         !around.driver_library.starts_with("/usr/lib/wsl/");
}

Found no_device(const GpuSurroundings& around) {
  const std::string visible = around.cuda_visible_devices.value_or("0");
  if (visible.empty()) return {"device-hidden", "empty-variable"};
  if (visible == "NoDevFiles") return {"device-slurm", ""};
  if (around.inside_container && hides_every_gpu(around.nvidia_visible_devices.value_or("all")))
    return {"container-no-gpu", "hidden"};
  if (around.inside_container && around.device_files.empty()) return {"container-no-gpu", "no-files"};
  if (names_none(visible, around.pci_gpus)) return {"device-hidden", "wrong-variable"};
  if (around.inside_container) return {"container-rights", ""};
  if (around.wsl) return {"container-wsl", hides_windows_driver(around) ? "linux-driver" : "no-device"};
  return {"device-hidden", "on-host"};
}

// The row that has the code and words of its own for it, or machine-kernel.
Found by_code(int code) {
  for (const KnownFailure& row : known_failures())
    if (std::ranges::find(row.codes, code) != row.codes.end() &&
        (row.found.empty() || std::ranges::find(row.found, "", &Finding::when) != row.found.end()))
      return {row.key, ""};
  return {"machine-kernel", ""};
}

Found what_code_means(int code, const GpuSurroundings& around) {
  if (code == kOutOfMemory) return {"device-memory", ""};
  if (code == kNoDevice || code == kInvalidDevice) return no_device(around);
  if (code == kInsufficientDriver && around.driver_library.empty()) return no_driver_library(around);
  if (hides_windows_driver(around) &&
      (code == kInsufficientDriver || code == kDriverMismatch || code == kUnknown))
    return {"container-wsl", "linux-driver"};
  if (code == kInsufficientDriver && around.wsl) return {"driver-too-old", "wsl"};
  if (code == kDriverMismatch && around.inside_container) return {"driver-combination", "in-container"};
  return by_code(code);
}

Failure out_of_range(const GpuProbe& probe, int device, int devices) {
  const std::string numbers =
      devices == 1 ? "one, cuda:0" : fmt::format("{}, cuda:0 to cuda:{}", devices, devices - 1);
  return found_failure("device-number", "",
                       {{"device", std::to_string(device)},
                        {"devices", numbers},
                        {"seen", visibility_text(probe.surroundings())}});
}

std::string device_text(int device, const GpuInfo& gpu) {
  return fmt::format("GPU {}, {} of compute capability {}.{}", device, gpu.name, gpu.major, gpu.minor);
}

}  // namespace

int exit_status(FailureClass kind) {
  return kind > FailureClass::wrong_results ? 1 : static_cast<int>(kind);
}

std::string_view meaning(FailureClass kind) {
  if (kind == FailureClass::healthy) return "healthy";
  const std::span<const ClassMeaning> all = class_meanings();
  const auto found = std::ranges::find(all, kind, &ClassMeaning::kind);
  return found == all.end()
             ? "the command failed, or a training of a proof did, or a GPU is slower than its equals"
             : found->meaning;
}

const KnownFailure& known_failure(std::string_view key) {
  const std::span<const KnownFailure> rows = known_failures();
  const auto found = std::ranges::find(rows, key, &KnownFailure::key);
  if (found == rows.end()) throw std::logic_error("no known failure is called " + std::string(key));
  return *found;
}

std::string filled_in(std::string_view text, const FailureWords& words) {
  std::string result;
  for (std::size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{')) {
    const std::size_t close = text.find('}', open);
    if (close == std::string_view::npos) break;
    result += text.substr(0, open);
    result += word_for(text.substr(open + 1, close - open - 1), words);
    text.remove_prefix(close + 1);
  }
  return result.append(text);
}

Failure failure_of(const KnownFailure& row, const FailureWords& words) {
  return {row.key, row.kind, filled_in(row.cause, words), filled_in(row.fix, words)};
}

Failure found_failure(std::string_view key, std::string_view when, const FailureWords& words) {
  const KnownFailure& row = known_failure(key);
  const auto found = std::ranges::find(row.found, when, &Finding::when);
  if (found == row.found.end())
    throw std::logic_error(std::string(key) + " is not found " + std::string(when));
  return {key, row.kind, filled_in(found->cause, words),
          filled_in(found->fix.empty() ? row.fix : found->fix, words)};
}

bool has_dxg(const GpuSurroundings& around) {
  return std::ranges::find(around.device_files, "/dev/dxg") != around.device_files.end();
}

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::optional<Failure> find_gpu_failure(const GpuProbe& probe, int device) {
  const auto explained = [&](int code) {
    const GpuSurroundings around = probe.surroundings();
    const auto [key, when] = what_code_means(code, around);
    const FailureWords words = words_of(probe.code_name(code), around);
    if (!known_failure(key).found.empty()) return found_failure(key, when, words);
    Failure failure = failure_of(known_failure(key), words);
    failure.cause += " (" + probe.code_name(code) + ")";
    return failure;
  };
  const GpuProbe::Count count = probe.count();
  if (count.code != 0 || count.devices == 0) return explained(count.code != 0 ? count.code : kNoDevice);
  if (device < 0 || device >= count.devices) return out_of_range(probe, device, count.devices);
  GpuInfo gpu;
  if (const int code = probe.describe(device, &gpu); code != 0) return explained(code);
  const GpuArchitectures built = parse_architectures(probe.architectures());
  if (code_for(built, gpu.major, gpu.minor).kind == GpuCode::Kind::none)
    return found_failure("device-code", "compared",
                         {{"gpu", device_text(device, gpu)},
                          {"built", architectures_text(built)},
                          {"rebuild", rebuild_advice(gpu.major, gpu.minor)}});
  const int code = probe.open(device);
  if (code == 0) return std::nullopt;
  if (code != kDevicesUnavailable) return explained(code);
  return found_failure(
      "device-busy", "with-mode",
      {{"gpu", device_text(device, gpu)}, {"mode", gpu.compute_mode}, {"name", probe.code_name(code)}});
}

}  // namespace trainer
