// From the driver to the device: what must be there for a GPU to be used, in the order in which it is needed.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

constexpr std::uint64_t kLeastFreeBytes = 512ULL << 20U;  // of a context and a small network

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

bool has_file(const GpuSurroundings& around, const std::string& name) {
  return std::ranges::find(around.device_files, name) != around.device_files.end();
}

bool has_numbered_file(const GpuSurroundings& around) {
  return std::ranges::any_of(around.device_files, [](const std::string& file) {
    const std::string kStart = "/dev/nvidia";
    return file.size() > kStart.size() && file[kStart.size()] >= '0' && file[kStart.size()] <= '9';
  });
}

std::string driver_text(const GpuSurroundings& around) {
  std::string text = around.driver_library;
  if (around.driver_version > 0)
    text += fmt::format(" serves CUDA {}", cuda_version_text(around.driver_version));
  if (around.runtime_version > 0)
    text += fmt::format(", this program needs {}", cuda_version_text(around.runtime_version));
  return text + (around.kernel_module.empty() ? ", no kernel module to be seen"
                                              : fmt::format(", kernel module {}", around.kernel_module));
}

// The failure of the GPU: a problem only where there is a GPU to be had, or one is required.
Check failure_check(const Facts& facts, const Failure& failure) {
  const bool problem = facts.require_gpu || (shows_gpu(facts.gpu) && facts.gpu.engine);
  if (problem) {
    return {CheckState::problem, "GPU", "none can be used", failure.cause, failure.fix, failure.kind};
  }
  if (shows_gpu(facts.gpu))
    return {CheckState::note, "GPU",
            "a build with the GPU engine could not use it either: " + failure.text()};
  const bool flag_forgotten = facts.gpu.around.inside_container && facts.gpu.engine;
  return {CheckState::note, "GPU", "none: " + (flag_forgotten ? failure.text() : failure.cause)};
}

Check unused_gpu_check(const Facts& facts, const std::string& name) {
  const std::string finding =
      fmt::format("{} is here, but this program was built without the GPU engine", name);
  const Check problem = known_problem("GPU", "not used", "device-engine", finding);
  return facts.require_gpu ? problem : Check{CheckState::note, "GPU", finding + "; " + problem.fix};
}

// By NVML's own codes: 4 NO_PERMISSION, 9 DRIVER_NOT_LOADED, 18 LIB_RM_VERSION_MISMATCH, 999 UNKNOWN.
Check nvml_failure(const GpuFacts& gpu) {
  const int code = gpu.nvml.code;
  const std::string finding = fmt::format("does not start (code {})", code);
  if (code == 18) return known_problem("NVML", finding, "driver-mismatch");
  if (code == 9) return known_problem("NVML", finding, "driver-not-loaded");
  if (code == 4) return known_problem("NVML", finding, "container-selinux");
  if (code == 999 && gpu.around.inside_container) return known_problem("NVML", finding, "container-rights");
  return {CheckState::note, "NVML", finding + ": power, clocks and temperature are not known"};
}

}  // namespace

bool shows_gpu(const GpuFacts& gpu) {
  return gpu.devices > 0 || gpu.around.pci_gpus > 0 || !gpu.around.device_files.empty() ||
         !gpu.around.kernel_module.empty();
}

bool trains_on_gpu(const Facts& facts) {
  return facts.gpu.engine && !facts.gpu.failure && !facts.asks_for_cpu;
}

void check_driver(const Facts& facts, std::vector<Check>* checks) {
  const GpuSurroundings& around = facts.gpu.around;
  if (!shows_gpu(facts.gpu) && around.driver_library.empty()) return;
  const std::string& library = around.driver_library_version;
  if (around.driver_library.empty()) {
    checks->push_back({CheckState::note, "driver", "no libcuda.so.1"});
  } else if (!library.empty() && !around.kernel_module.empty() && library != around.kernel_module) {
    checks->push_back(known_problem(
        "driver",
        fmt::format("libcuda is of driver {}, the loaded kernel module of {}", library, around.kernel_module),
        around.inside_container ? "driver-combination" : "driver-mismatch"));
  } else {
    checks->push_back({CheckState::ok, "driver", driver_text(around)});
  }
}

void check_device_files(const Facts& facts, std::vector<Check>* checks) {
  const GpuFacts& gpu = facts.gpu;
  if (!shows_gpu(gpu) && gpu.around.driver_library.empty()) return;
  std::vector<std::string> missing;
  if (!has_numbered_file(gpu.around)) missing.emplace_back("/dev/nvidia0");
  for (const char* name : {"/dev/nvidiactl", "/dev/nvidia-uvm"})
    if (!has_file(gpu.around, name)) missing.emplace_back(name);
  if (missing.empty()) {
    checks->push_back({CheckState::ok, "device files", joined(gpu.around.device_files)});
  } else if (gpu.devices > 0) {
    checks->push_back({CheckState::note, "device files", "missing, but not needed here: " + joined(missing)});
  } else {
    checks->push_back({CheckState::note, "device files", "missing: " + joined(missing)});
  }
}

void check_visibility(const Facts& facts, std::vector<Check>* checks) {
  const GpuSurroundings& around = facts.gpu.around;
  if (!shows_gpu(facts.gpu)) return;
  std::vector<std::string> set;
  if (around.cuda_visible_devices)
    set.push_back(fmt::format("CUDA_VISIBLE_DEVICES='{}'", *around.cuda_visible_devices));
  if (around.nvidia_visible_devices)
    set.push_back(fmt::format("NVIDIA_VISIBLE_DEVICES='{}'", *around.nvidia_visible_devices));
  const std::string seen = fmt::format("this process sees {} of {}", facts.gpu.devices,
                                       std::max(around.pci_gpus, facts.gpu.devices));
  const bool fewer = around.pci_gpus > facts.gpu.devices;
  checks->push_back({fewer ? CheckState::note : CheckState::ok, "visibility",
                     set.empty() ? seen : fmt::format("{} ({})", seen, fmt::join(set, ", "))});
}

void check_gpu(const Facts& facts, std::vector<Check>* checks) {
  const GpuFacts& gpu = facts.gpu;
  if (gpu.failure) {
    checks->push_back(failure_check(facts, *gpu.failure));
    return;
  }
  const GpuTraits traits = gpu.traits.value_or(GpuTraits{});
  if (!gpu.engine) {
    checks->push_back(unused_gpu_check(facts, traits.name));
    return;
  }
  checks->push_back(
      {CheckState::ok, "GPU",
       fmt::format("{}: {}, compute capability {}.{}; {}", gpu.device, traits.name, traits.major,
                   traits.minor,
                   code_text(parse_architectures(gpu.architectures), traits.major, traits.minor))});
}

void check_gpu_state(const Facts& facts, std::vector<Check>* checks) {
  const GpuFacts& gpu = facts.gpu;
  if (!gpu.traits || gpu.devices == 0) return;
  const NvmlReading& reading = gpu.reading;
  if (reading.free_bytes && *reading.free_bytes < kLeastFreeBytes) {
    checks->push_back(known_problem("GPU memory", fmt::format("{:.2f} GiB free", gib(*reading.free_bytes)),
                                    "device-memory"));
  } else if (reading.free_bytes) {
    checks->push_back(
        {CheckState::ok, "GPU memory", fmt::format("{:.2f} GiB free", gib(*reading.free_bytes))});
  }
  if (!gpu.traits->compute_mode.empty() && gpu.traits->compute_mode != "default")
    checks->push_back(
        {CheckState::note, "compute mode", gpu.traits->compute_mode + ": one process at a time"});
  if (reading.mig.value_or(false))
    checks->push_back({CheckState::note, "MIG", "on: what is used is an instance, a part of the GPU"});
  const std::uint64_t errors = reading.condition.uncorrected_errors.value_or(0);
  if (errors > 0) {
    checks->push_back(known_problem("GPU errors", fmt::format("{} that ECC could not correct", errors),
                                    "machine-memory-errors"));
  }
}

void check_nvml(const Facts& facts, std::vector<Check>* checks) {
  const GpuFacts& gpu = facts.gpu;
  if (!shows_gpu(gpu)) return;
  if (!gpu.nvml.loaded) {
    checks->push_back({CheckState::note, "NVML",
                       gpu.around.inside_container
                           ? "libnvidia-ml.so.1 is not in this container: no clocks, no power; "
                             "NVIDIA_DRIVER_CAPABILITIES=compute,utility brings it"
                           : "libnvidia-ml.so.1 is not here: no clocks, no power; it belongs to the driver"});
  } else if (gpu.nvml.code != 0) {
    checks->push_back(nvml_failure(gpu));
  } else {
    checks->push_back({CheckState::ok, "NVML", "answers"});
  }
}

}  // namespace trainer::doctor
