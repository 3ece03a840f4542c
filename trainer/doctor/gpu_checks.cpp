// From the driver to the device: what must be there for a GPU to be used, in the order in which it is needed.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

constexpr std::uint64_t kLeastGpuBytes = 512ULL << 20U;  // of a context and a small network

bool has_driver(F f) {
  return !f.gpu.around.driver_library.empty();
}

bool drivers_differ(F f) {
  const GpuSurroundings& around = f.gpu.around;
  return has_driver(f) && !around.driver_library_version.empty() && !around.kernel_module.empty() &&
         around.driver_library_version != around.kernel_module;
}

std::string drivers_text(F f) {
  return fmt::format("libcuda is of driver {}, the loaded kernel module of {}",
                     f.gpu.around.driver_library_version, f.gpu.around.kernel_module);
}

std::string driver_text(F f) {
  const GpuSurroundings& around = f.gpu.around;
  std::string text = around.driver_library;
  if (around.driver_version > 0)
    text += fmt::format(" serves CUDA {}", cuda_version_text(around.driver_version));
  if (around.runtime_version > 0)
    text += fmt::format(", this program needs {}", cuda_version_text(around.runtime_version));
  return text + (around.kernel_module.empty() ? ", no kernel module to be seen"
                                              : fmt::format(", kernel module {}", around.kernel_module));
}

std::string missing_files(F f) {
  const std::vector<std::string>& files = f.gpu.around.device_files;
  const bool numbered = std::ranges::any_of(files, [](const std::string& file) {
    constexpr std::string_view kStart = "/dev/nvidia";
    return file.size() > kStart.size() && file[kStart.size()] >= '0' && file[kStart.size()] <= '9';
  });
  std::vector<std::string> missing;
  if (!numbered) missing.emplace_back("/dev/nvidia0");
  for (const char* name : {"/dev/nvidiactl", "/dev/nvidia-uvm"})
    if (std::ranges::find(files, name) == files.end()) missing.emplace_back(name);
  return fmt::format("{}", fmt::join(missing, " "));
}

bool needs_files(F f) {
  return (shows_gpu(f) || has_driver(f)) && !missing_files(f).empty();
}

std::string visibility_text(F f) {
  const GpuSurroundings& around = f.gpu.around;
  std::vector<std::string> set;
  if (around.cuda_visible_devices)
    set.push_back(fmt::format("CUDA_VISIBLE_DEVICES='{}'", *around.cuda_visible_devices));
  if (around.nvidia_visible_devices)
    set.push_back(fmt::format("NVIDIA_VISIBLE_DEVICES='{}'", *around.nvidia_visible_devices));
  const std::string seen =
      fmt::format("this process sees {} of {}", f.gpu.devices, std::max(around.pci_gpus, f.gpu.devices));
  return set.empty() ? seen : fmt::format("{} ({})", seen, fmt::join(set, ", "));
}

// What is wrong with cuDNN; empty: nothing.
std::string cudnn_fault(F f) {
  const CudnnFacts& cudnn = f.cudnn;
  if (cudnn.crashed) return fmt::format("cuDNN {} ends the process that loads its parts", cudnn.version);
  std::vector<std::string> missing;
  std::vector<std::string> versions;
  for (const LibraryPart& part : cudnn.parts) {
    if (!part.error.empty()) missing.push_back(fmt::format("{} ({})", part.name, part.error));
    const bool known = std::ranges::find(versions, part.version) != versions.end();
    if (!part.version.empty() && !known) versions.push_back(part.version);
  }
  if (!missing.empty())
    return fmt::format("cuDNN {}: cannot load {}", cudnn.version, fmt::join(missing, "; "));
  if (versions.size() > 1) return fmt::format("cuDNN's parts are of {}", fmt::join(versions, " and "));
  if (!cudnn.mixed.empty())
    return fmt::format("cuDNN {}: of another version {}", cudnn.version, fmt::join(cudnn.mixed, ", "));
  return "";
}

bool takes_cublas(F f) {
  return !f.cublas.loaded.empty() || !f.cublas.error.empty();
}

// What is wrong with cuBLASLt; empty: nothing.
std::string cublas_fault(F f) {
  const CublasFacts& cublas = f.cublas;
  const int runtime = f.gpu.around.runtime_version;
  if (!cublas.error.empty() || cublas.loaded.empty()) return cublas.error;
  if (cublas.loaded.size() > 1) {
    std::vector<std::string> paths;
    for (const LibraryPart& library : cublas.loaded) paths.push_back(library.path);
    return fmt::format("several are loaded: {}", fmt::join(paths, " and "));
  }
  const std::string& path = cublas.loaded.front().path;
  if (cublas.version.empty()) return fmt::format("{} is none: it tells no version", path);
  if (cublas.cuda_version > 0 && runtime > 0 && cublas.cuda_version / 1000 != runtime / 1000)
    return fmt::format("{} ({}) is of CUDA {}, this program of {}", cublas.version, path,
                       cuda_version_text(cublas.cuda_version), cuda_version_text(runtime));
  return "";
}

std::string cublas_text(F f) {
  return fmt::format("{}, {}", f.cublas.version, f.cublas.loaded.front().path);
}

std::string unused_gpu_text(F f) {
  return fmt::format("{} is here, but this program was built without the GPU engine",
                     f.gpu.info.value_or(GpuInfo{}).name);
}

std::string gpu_text(F f) {
  const GpuInfo gpu = f.gpu.info.value_or(GpuInfo{});
  return fmt::format("{}: {}, compute capability {}.{}; {}", f.gpu.device, gpu.name, gpu.major, gpu.minor,
                     code_text(parse_architectures(f.gpu.architectures), gpu.major, gpu.minor));
}

// A GPU that answers.
bool answers(F f) {
  return f.gpu.info && f.gpu.devices > 0;
}

bool tells_memory(F f) {
  return answers(f) && f.gpu.info->free_bytes;
}

std::uint64_t uncorrected_errors(F f) {
  return f.gpu.info->sensors.uncorrected_errors.value_or(0);
}

std::string gpu_memory_text(F f) {
  return fmt::format("{:.2f} GiB free", gib(*f.gpu.info->free_bytes));
}

// NVML's own codes: 4 NO_PERMISSION, 9 DRIVER_NOT_LOADED, 18 LIB_RM_VERSION_MISMATCH, 999 UNKNOWN.
template <int code>
bool nvml_says(F f) {
  return shows_gpu(f) && f.gpu.nvml == code;
}

std::string nvml_code_text(F f) {
  return fmt::format("does not start (code {})", *f.gpu.nvml);
}

const CheckRow kGpuRows[] = {
    {"driver", kNote, [](F f) { return shows_gpu(f) && !has_driver(f); },
     [](F) { return std::string("no libcuda.so.1"); }},
    {"driver", kProblem, [](F f) { return drivers_differ(f) && f.gpu.around.inside_container; }, drivers_text,
     "driver-combination"},
    {"driver", kProblem, drivers_differ, drivers_text, "driver-mismatch"},
    {"driver", kOk, has_driver, driver_text},
    {"device files", kNote, [](F f) { return needs_files(f) && f.gpu.devices > 0; },
     [](F f) { return "missing, but not needed here: " + missing_files(f); }},
    {"device files", kNote, needs_files, [](F f) { return "missing: " + missing_files(f); }},
    {"device files", kOk, [](F f) { return shows_gpu(f) || has_driver(f); },
     [](F f) { return fmt::format("{}", fmt::join(f.gpu.around.device_files, " ")); }},
    {"visibility", kNote, [](F f) { return shows_gpu(f) && f.gpu.around.pci_gpus > f.gpu.devices; },
     visibility_text},
    {"visibility", kOk, shows_gpu, visibility_text},
    {"libraries", kProblem, [](F f) { return f.cudnn.used && !cudnn_fault(f).empty(); }, cudnn_fault,
     "libraries-cudnn"},
    {"libraries", kOk, [](F f) { return f.cudnn.used; },
     [](F f) {
       return fmt::format("cuDNN {}, its {} parts are here and of one version", f.cudnn.version,
                          f.cudnn.parts.size());
     }},
    {"cuBLASLt", kProblem, [](F f) { return !cublas_fault(f).empty(); }, cublas_fault, "libraries-cublas"},
    {"cuBLASLt", kNote,
     [](F f) {
       return takes_cublas(f) && f.cublas.cuda_version > 0 &&
              f.cublas.cuda_version < f.gpu.around.runtime_version;
     },
     [](F f) {
       return fmt::format("{}; of CUDA {}, older than this program's {}", cublas_text(f),
                          cuda_version_text(f.cublas.cuda_version),
                          cuda_version_text(f.gpu.around.runtime_version));
     }},
    {"cuBLASLt", kOk, takes_cublas, cublas_text},
    {"GPU", kProblem, [](F f) { return f.gpu.failure && (f.require_gpu || (shows_gpu(f) && f.gpu.engine)); },
     [](F) { return std::string("none can be used"); }, nullptr, [](F f) { return *f.gpu.failure; }},
    {"GPU", kNote, [](F f) { return f.gpu.failure && shows_gpu(f); },
     [](F f) { return "a build with the GPU engine could not use it either: " + f.gpu.failure->text(); }},
    // The flag of the container was forgotten.
    {"GPU", kNote, [](F f) { return f.gpu.failure && f.gpu.around.inside_container && f.gpu.engine; },
     [](F f) { return "none: " + f.gpu.failure->text(); }},
    {"GPU", kNote, [](F f) { return f.gpu.failure.has_value(); },
     [](F f) { return "none: " + f.gpu.failure->cause; }},
    {"GPU", kProblem, [](F f) { return !f.gpu.engine && f.require_gpu; },
     [](F) { return std::string("not used"); }, nullptr,
     [](F f) { return failure_with_cause("device-engine", unused_gpu_text(f)); }},
    {"GPU", kNote, [](F f) { return !f.gpu.engine; },
     [](F f) { return unused_gpu_text(f) + "; " + failure_with_cause("device-engine", "").fix; }},
    {"GPU", kOk, always, gpu_text},
    {"GPU memory", kProblem, [](F f) { return tells_memory(f) && *f.gpu.info->free_bytes < kLeastGpuBytes; },
     gpu_memory_text, "device-memory"},
    {"GPU memory", kOk, tells_memory, gpu_memory_text},
    {"compute mode", kNote,
     [](F f) {
       return answers(f) && !f.gpu.info->compute_mode.empty() && f.gpu.info->compute_mode != "default";
     },
     [](F f) { return f.gpu.info->compute_mode + ": one process at a time"; }},
    {"MIG", kNote, [](F f) { return answers(f) && f.gpu.info->mig.value_or(false); },
     [](F) { return std::string("on: what is used is an instance, a part of the GPU"); }},
    {"GPU errors", kProblem, [](F f) { return answers(f) && uncorrected_errors(f) > 0; },
     [](F f) { return fmt::format("{} that ECC could not correct", uncorrected_errors(f)); },
     "machine-memory-errors"},
    {"NVML", kNote, [](F f) { return shows_gpu(f) && !f.gpu.nvml && f.gpu.around.inside_container; },
     [](F) {
       return std::string(
           "libnvidia-ml.so.1 is not in this container: no clocks, no power; "
           "NVIDIA_DRIVER_CAPABILITIES=compute,utility brings it");
     }},
    {"NVML", kNote, [](F f) { return shows_gpu(f) && !f.gpu.nvml; },
     [](F) {
       return std::string("libnvidia-ml.so.1 is not here: no clocks, no power; it belongs to the driver");
     }},
    {"NVML", kOk, nvml_says<0>, [](F) { return std::string("answers"); }},
    {"NVML", kProblem, nvml_says<18>, nvml_code_text, "driver-mismatch"},
    {"NVML", kProblem, nvml_says<9>, nvml_code_text, "driver-not-loaded"},
    {"NVML", kProblem, nvml_says<4>, nvml_code_text, "container-selinux"},
    {"NVML", kProblem, [](F f) { return nvml_says<999>(f) && f.gpu.around.inside_container; }, nvml_code_text,
     "container-rights"},
    {"NVML", kNote, shows_gpu,
     [](F f) { return nvml_code_text(f) + ": power, clocks and temperature are not known"; }},
};

}  // namespace

bool shows_gpu(F f) {
  return f.gpu.devices > 0 || f.gpu.around.pci_gpus > 0 || !f.gpu.around.device_files.empty() ||
         !f.gpu.around.kernel_module.empty();
}

std::span<const CheckRow> gpu_rows() {
  return kGpuRows;
}

}  // namespace trainer::doctor
