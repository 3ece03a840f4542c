// The checks of trainer doctor as a table of cases: when a case applies, and what is reported then. The cases of one name form
// one check, which reports the first of them that applies.
#include "trainer/doctor/checks.hpp"

#include <algorithm>
#include <fmt/ranges.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

struct Case {
  bool applies;
  Check check;
};
using Cases = std::vector<Case>;

Check ok(const char* name, const std::string& finding) {
  return {CheckState::ok, name, finding};
}

Check note(const char* name, const std::string& finding) {
  return {CheckState::note, name, finding};
}

Check problem(const char* name, const std::string& finding, const Failure& failure) {
  return {CheckState::problem, name, finding, failure.cause, failure.fix, failure.kind};
}

// A row of failures/*.yaml; `cause` replaces the row's cause if the facts say more.
Failure row(std::string_view key, const std::string& cause = "") {
  Failure failure = failure_of(known_failure(key));
  if (!cause.empty()) failure.cause = cause;
  return failure;
}

std::string driver_text(const GpuSurroundings& around) {
  std::string text = around.driver_library;
  if (around.driver_version > 0)
    text += fmt::format(" serves CUDA {}", cuda_version_text(around.driver_version));
  if (around.runtime_version > 0)
    text += fmt::format(", this program needs {}", cuda_version_text(around.runtime_version));
  if (!around.kernel_module.empty()) return text + ", kernel module " + around.kernel_module;
  return text + (around.wsl ? ", the driver of Windows" : ", no kernel module to be seen");
}

std::string missing_files(const GpuSurroundings& around) {
  const std::vector<std::string>& files = around.device_files;
  const bool numbered = std::ranges::any_of(files, [](const std::string& file) {
    return file.size() > 11 && file.starts_with("/dev/nvidia") && file[11] >= '0' && file[11] <= '9';
  });
  if (around.wsl) return has_dxg(around) ? "" : "/dev/dxg";  // all that WSL 2 has
  std::vector<std::string> missing;
  if (!numbered) missing.emplace_back("/dev/nvidia0");
  for (const char* name : {"/dev/nvidiactl", "/dev/nvidia-uvm"})
    if (std::ranges::find(files, name) == files.end()) missing.emplace_back(name);
  return fmt::format("{}", fmt::join(missing, " "));
}

std::string visibility_text(const GpuFacts& gpu) {
  const GpuSurroundings& around = gpu.around;
  std::string set;
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) set += fmt::format("{}{}='{}'", set.empty() ? " (" : ", ", name, *value);
  };
  add("CUDA_VISIBLE_DEVICES", around.cuda_visible_devices);
  add("NVIDIA_VISIBLE_DEVICES", around.nvidia_visible_devices);
  return fmt::format("this process sees {} of {}{}{}", gpu.devices, std::max(around.pci_gpus, gpu.devices),
                     set, set.empty() ? "" : ")");
}

Cases driver_cases(const Facts& facts) {
  const GpuSurroundings& around = facts.gpu.around;
  const bool shown = shows_gpu(facts.gpu);
  const bool driver = !around.driver_library.empty();
  const bool differ = driver && !around.driver_library_version.empty() && !around.kernel_module.empty() &&
                      around.driver_library_version != around.kernel_module;
  const std::string both = fmt::format("libcuda is of driver {}, the loaded kernel module of {}",
                                       around.driver_library_version, around.kernel_module);
  const std::string missing = missing_files(around);
  const std::string visibility = visibility_text(facts.gpu);
  return {
      {shown && !driver, note("driver", "no libcuda.so.1")},
      {differ && around.inside_container, problem("driver", both, row("driver-combination"))},
      {differ, problem("driver", both, row("driver-mismatch"))},
      {driver, ok("driver", driver_text(around))},
      {(shown || driver) && missing.empty(),
       ok("device files", fmt::format("{}", fmt::join(around.device_files, " ")))},
      {(shown || driver) && facts.gpu.devices > 0,
       note("device files", "missing, but not needed here: " + missing)},
      {shown || driver, note("device files", "missing: " + missing)},
      {shown && around.pci_gpus > facts.gpu.devices, note("visibility", visibility)},
      {shown, ok("visibility", visibility)},
  };
}

// What is wrong with cuDNN; empty: nothing.
std::string cudnn_fault(const CudnnFacts& cudnn) {
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

// What is wrong with cuBLASLt; empty: nothing.
std::string cublas_fault(const CublasFacts& cublas, int runtime) {
  if (!cublas.error.empty() || cublas.loaded.empty()) return cublas.error;
  std::string paths;
  for (const LibraryPart& library : cublas.loaded) paths += (paths.empty() ? "" : " and ") + library.path;
  if (cublas.loaded.size() > 1) return "several are loaded: " + paths;
  const std::string& path = cublas.loaded.front().path;
  if (cublas.version.empty()) return fmt::format("{} is none: it tells no version", path);
  if (cublas.cuda_version > 0 && runtime > 0 && cublas.cuda_version / 1000 != runtime / 1000)
    return fmt::format("{} ({}) is of CUDA {}, this program of {}", cublas.version, path,
                       cuda_version_text(cublas.cuda_version), cuda_version_text(runtime));
  return "";
}

Cases library_cases(const Facts& facts) {
  const CublasFacts& cublas = facts.cublas;
  const int runtime = facts.gpu.around.runtime_version;
  const std::string fault = cudnn_fault(facts.cudnn);
  const std::string lt_fault = cublas_fault(cublas, runtime);
  const bool found = !cublas.loaded.empty();
  const std::string lt = found ? fmt::format("{}, {}", cublas.version, cublas.loaded.front().path) : "";
  return {
      {facts.cudnn.used && fault.empty(),
       ok("libraries", fmt::format("cuDNN {}, its {} parts are here and of one version", facts.cudnn.version,
                                   facts.cudnn.parts.size()))},
      {facts.cudnn.used, problem("libraries", fault, row("libraries-cudnn"))},
      {!lt_fault.empty(), problem("cuBLASLt", lt_fault, row("libraries-cublas"))},
      {found && cublas.cuda_version > 0 && cublas.cuda_version < runtime,
       note("cuBLASLt", fmt::format("{}; of CUDA {}, older than this program's {}", lt,
                                    cuda_version_text(cublas.cuda_version), cuda_version_text(runtime)))},
      {found, ok("cuBLASLt", lt)},
      {!facts.cluster.nccl.empty(), ok("NCCL", facts.cluster.nccl)},
  };
}

// The GPU itself: whether it can be used, by a build that has the engine, and its state.
Cases gpu_cases(const Facts& facts) {
  const GpuInfo gpu = facts.gpu.info.value_or(GpuInfo{});
  const Failure failure = facts.gpu.failure.value_or(Failure{});
  const bool failed = facts.gpu.failure.has_value();
  const bool shown = shows_gpu(facts.gpu);
  const bool engine = facts.gpu.engine;
  const std::string unused = gpu.name + " is here, but this program was built without the GPU engine";
  const bool flag_forgotten = facts.gpu.around.inside_container && engine;
  const std::string free = fmt::format("{:.2f} GiB free", gib(gpu.free_bytes.value_or(0)));
  const std::uint64_t errors = gpu.sensors.uncorrected_errors.value_or(0);
  constexpr std::uint64_t kLeastFree = 512ULL << 20U;  // what a context and a small network take
  const Failure fewer{"", FailureClass::no_device, "a GPU has failed, has left the bus, or has no driver",
                      "read 'dmesg | grep NVRM' and 'nvidia-smi --list-gpus'; a restart may bring it back"};
  return {
      {facts.gpu.installed < facts.least_gpus,
       problem("GPU count", fmt::format("{} of {}", facts.gpu.installed, facts.least_gpus), fewer)},
      {facts.least_gpus > 0, ok("GPU count", std::to_string(facts.gpu.installed))},
      {failed && (facts.require_gpu || (shown && engine)), problem("GPU", "none can be used", failure)},
      {failed && shown,
       note("GPU", "a build with the GPU engine could not use it either: " + failure.text())},
      {failed, note("GPU", "none: " + (flag_forgotten ? failure.text() : failure.cause))},
      {!engine && facts.require_gpu, problem("GPU", "not used", row("device-engine", unused))},
      {!engine, note("GPU", unused + "; " + row("device-engine").fix)},
      {engine,
       ok("GPU", fmt::format("{}: {}, compute capability {}.{}; {}", facts.gpu.device, gpu.name, gpu.major,
                             gpu.minor,
                             code_text(parse_architectures(facts.gpu.architectures), gpu.major, gpu.minor)))},
      {gpu.free_bytes && *gpu.free_bytes < kLeastFree, problem("GPU memory", free, row("device-memory"))},
      {gpu.free_bytes.has_value(), ok("GPU memory", free)},
      {gpu.compute_mode == "default", ok("compute mode", gpu.compute_mode)},
      {!gpu.compute_mode.empty(), note("compute mode", gpu.compute_mode + ": one process at a time")},
      {gpu.mig.value_or(false), note("MIG", "on: what is used is an instance, a part of the GPU")},
      {gpu.mig.has_value(), ok("MIG", "off")},
      {errors > 0, problem("GPU errors", fmt::format("{} that ECC could not correct", errors),
                           row("machine-memory-errors"))},
      {gpu.sensors.uncorrected_errors.has_value(), ok("GPU errors", "none that ECC could not correct")},
  };
}

// What NVML does not tell of a GPU, as `trainer devices --json` names it.
std::string absent_readings(const GpuInfo& gpu) {
  std::vector<std::string> absent;
  const nlohmann::ordered_json told = sensors_json(gpu.sensors);
  for (const auto& [name, value] : told.items())
    if (value.is_null()) absent.push_back(name);
  return fmt::format("{}", fmt::join(absent, ", "));
}

// NVML has its own codes: 4 NO_PERMISSION, 9 DRIVER_NOT_LOADED, 17 OPERATING_SYSTEM, 18 LIB_RM_VERSION_MISMATCH, 999 UNKNOWN.
Cases nvml_cases(const GpuFacts& gpu) {
  if (!shows_gpu(gpu)) return {};
  const bool inside = gpu.around.inside_container;
  const int code = gpu.nvml.value_or(0);
  const std::string failed = fmt::format("does not start (code {})", code);
  const bool wsl = gpu.around.wsl;
  const std::string absent = wsl && gpu.info ? absent_readings(*gpu.info) : "";
  return {
      {!gpu.nvml && inside, note("NVML",
                                 "libnvidia-ml.so.1 is not in this container: no clocks, no power; "
                                 "NVIDIA_DRIVER_CAPABILITIES=compute,utility brings it")},
      {!gpu.nvml,
       note("NVML",
            fmt::format("libnvidia-ml.so.1 is not here: no clocks, no power; it belongs to the driver{}",
                        wsl ? ", which keeps it in /usr/lib/wsl/lib" : ""))},
      {code == 0 && !absent.empty(), ok("NVML", "answers; WSL 2 does not pass on: " + absent)},
      {code == 0, ok("NVML", "answers")},
      {wsl && (code == 9 || code == 17), problem("NVML", failed, row("machine-nvml-lost"))},
      {code == 18, problem("NVML", failed, row("driver-mismatch"))},
      {code == 9, problem("NVML", failed, row("driver-not-loaded"))},
      {code == 4, problem("NVML", failed, row("container-selinux"))},
      {code == 999 && inside, problem("NVML", failed, row("container-rights"))},
      {true, note("NVML", failed + ": power, clocks and temperature are not known")},
  };
}

Cases program_cases(const Facts& facts) {
  const GpuSurroundings& around = facts.gpu.around;
  return {
      {!facts.gpu.engine, ok("program", facts.program + ", without the GPU engine")},
      {true, ok("program", fmt::format("{}, with the GPU engine: code for {}", facts.program,
                                       architectures_text(parse_architectures(facts.gpu.architectures))))},
      {around.wsl, ok("WSL", "this Linux runs in Windows, whose driver it uses")},
      {!around.inside_container, ok("container", "not inside one")},
      {!around.device_files.empty(), ok("container", "inside one, which was given a GPU")},
      {true, note("container", "inside one, which was given no GPU")},
  };
}

Cases machine_cases(const Facts& facts) {
  constexpr std::uint64_t kLeastMemory = 512ULL << 20U;  // what a small network and the shipped data set take
  constexpr std::uint64_t kLeastDisk = 64ULL << 20U;     // what a run or two take
  const CpuInfo& cpu = facts.cpu;
  const FilesFacts& files = facts.files;
  const std::string memory =
      fmt::format("{:.1f} of {:.1f} GiB available", gib(cpu.available_bytes), gib(cpu.memory_bytes));
  const std::string runs =
      fmt::format("{} can be written, {:.1f} GiB free", files.runs_path, gib(files.runs_free_bytes));
  const SpeedFacts speed = facts.speed.value_or(SpeedFacts{});
  const Failure speed_failure{"", FailureClass::machine, facts.speed_error,
                              "'trainer doctor --explain' finds the row for such a message"};
  return {
      {true, ok("CPU", fmt::format("{}, {} usable, {} (oneDNN {}), {}", cpu.model, cores_text(cpu),
                                   cpu.instruction_set, cpu.onednn_version,
                                   facts.cpu_bf16 ? "fp32 and bf16" : "fp32"))},
      {cpu.available_bytes > 0 && cpu.available_bytes < kLeastMemory,
       problem("memory", memory, row("files-memory"))},
      {true, ok("memory", memory)},
      {!files.data_error.empty(), problem("data", "cannot be used", row("files-data", files.data_error))},
      {true, ok("data", fmt::format("{}: {}", files.data_path, files.data_text))},
      {!files.runs_error.empty(),
       problem("results", files.runs_path, row("files-results", files.runs_error))},
      {files.runs_free_bytes < kLeastDisk, problem("results", runs, row("files-disk"))},
      {true, ok("results", runs)},
      {!facts.cluster.mpi.empty(), ok("MPI", facts.cluster.mpi)},
      {facts.speed && falls_short(speed), note("speed", speed_text(speed))},
      {facts.speed.has_value(), ok("speed", speed_text(speed))},
      {!facts.speed_error.empty(), problem("speed", "the test failed", speed_failure)},
  };
}

}  // namespace

std::vector<Check> check_all(const Facts& facts) {
  std::vector<Check> checks;
  const auto add = [&](const Cases& cases) {
    for (const auto& [applies, check] : cases)
      if (applies && (checks.empty() || checks.back().name != check.name)) checks.push_back(check);
  };
  add(program_cases(facts));
  if (!facts.asks_for_cpu) {
    add(driver_cases(facts));
    add(library_cases(facts));
    add(gpu_cases(facts));
    add(nvml_cases(facts.gpu));
  }
  add(machine_cases(facts));
  add_left_out(facts, &checks);
  return checks;
}

}  // namespace trainer::doctor
