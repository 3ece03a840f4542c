// What is looked at on every machine: the program and its libraries, where it runs, its data, its results.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

constexpr std::uint64_t kLeastFreeMemory = 512ULL << 20U;  // of a small network with the shipped data set
constexpr std::uint64_t kLeastDisk = 64ULL << 20U;         // of a run or two

std::vector<std::string> versions_of(const std::vector<LibraryPart>& parts) {
  std::vector<std::string> versions;
  for (const LibraryPart& part : parts) {
    const bool known = std::ranges::find(versions, part.version) != versions.end();
    if (!part.version.empty() && !known) versions.push_back(part.version);
  }
  return versions;
}

// What is wrong with cuDNN; empty: nothing.
std::string cudnn_fault(const CudnnFacts& cudnn) {
  if (cudnn.crashed) return fmt::format("cuDNN {} ends the process that loads its parts", cudnn.version);
  std::vector<std::string> missing;
  for (const LibraryPart& part : cudnn.parts)
    if (!part.error.empty()) missing.push_back(fmt::format("{} ({})", part.name, part.error));
  if (!missing.empty())
    return fmt::format("cuDNN {}: cannot load {}", cudnn.version, fmt::join(missing, "; "));
  const std::vector<std::string> versions = versions_of(cudnn.parts);
  if (versions.size() > 1) return fmt::format("cuDNN's parts are of {}", fmt::join(versions, " and "));
  if (!cudnn.mixed.empty())
    return fmt::format("cuDNN {}: of another version {}", cudnn.version, fmt::join(cudnn.mixed, ", "));
  return "";
}

// Likewise with cuBLASLt.
std::string cublas_fault(const CublasFacts& cublas, int runtime_version) {
  if (!cublas.error.empty()) return cublas.error;
  if (cublas.loaded.size() > 1) {
    std::vector<std::string> paths;
    for (const LibraryPart& library : cublas.loaded) paths.push_back(library.path);
    return fmt::format("several are loaded: {}", fmt::join(paths, " and "));
  }
  const std::string& path = cublas.loaded.front().path;
  if (cublas.version.empty()) return fmt::format("{} is none: it tells no version", path);
  if (cublas.cuda_version > 0 && runtime_version > 0 && cublas.cuda_version / 1000 != runtime_version / 1000)
    return fmt::format("{} ({}) is of CUDA {}, this program of {}", cublas.version, path,
                       cuda_version_text(cublas.cuda_version), cuda_version_text(runtime_version));
  return "";
}

std::string reason_for_no_gpu(const Facts& facts) {
  if (facts.asks_for_cpu) return "--device cpu";
  if (!shows_gpu(facts.gpu)) return "no NVIDIA GPU here";
  return facts.gpu.engine ? "the GPU cannot be used" : "built without the GPU engine";
}

}  // namespace

void check_cudnn(const Facts& facts, std::vector<Check>* checks) {
  if (!facts.cudnn.used) return;
  const std::string fault = cudnn_fault(facts.cudnn);
  if (fault.empty()) {
    checks->push_back({CheckState::ok, "libraries",
                       fmt::format("cuDNN {}, its {} parts are here and of one version", facts.cudnn.version,
                                   facts.cudnn.parts.size())});
    return;
  }
  checks->push_back(known_problem("libraries", fault, "libraries-cudnn"));
}

void check_cublas(const Facts& facts, std::vector<Check>* checks) {
  const CublasFacts& cublas = facts.cublas;
  if (cublas.loaded.empty() && cublas.error.empty()) return;
  const int runtime = facts.gpu.around.runtime_version;
  if (const std::string fault = cublas_fault(cublas, runtime); !fault.empty()) {
    checks->push_back(known_problem("cuBLASLt", fault, "libraries-cublas"));
    return;
  }
  const bool older = cublas.cuda_version > 0 && cublas.cuda_version < runtime;
  checks->push_back(
      {older ? CheckState::note : CheckState::ok, "cuBLASLt",
       fmt::format("{}, {}{}", cublas.version, cublas.loaded.front().path,
                   older ? fmt::format("; of CUDA {}, older than this program's {}",
                                       cuda_version_text(cublas.cuda_version), cuda_version_text(runtime))
                         : "")});
}

Check check_program(const Facts& facts) {
  if (!facts.gpu.engine) return {CheckState::ok, "program", facts.program + ", without the GPU engine"};
  return {CheckState::ok, "program",
          fmt::format("{}, with the GPU engine: code for {}", facts.program,
                      architectures_text(parse_architectures(facts.gpu.architectures)))};
}

Check check_container(const Facts& facts) {
  const GpuSurroundings& around = facts.gpu.around;
  if (!around.inside_container) return {CheckState::ok, "container", "not inside one"};
  if (!around.device_files.empty()) return {CheckState::ok, "container", "inside one, which was given a GPU"};
  return {CheckState::note, "container", "inside one, which was given no GPU"};
}

Check check_cpu(const Facts& facts) {
  const CpuInfo& cpu = facts.cpu;
  return {CheckState::ok, "CPU",
          fmt::format("{}, {} {} usable, {} (oneDNN {}), {}", cpu.model, cpu.cores,
                      cpu.cores == 1 ? "core" : "cores", cpu.instruction_set, cpu.onednn_version,
                      facts.cpu_bf16 ? "fp32 and bf16" : "fp32")};
}

Check check_memory(const Facts& facts) {
  const CpuInfo& cpu = facts.cpu;
  const std::string finding =
      fmt::format("{:.1f} of {:.1f} GiB available", gib(cpu.available_bytes), gib(cpu.memory_bytes));
  if (cpu.available_bytes == 0 || cpu.available_bytes >= kLeastFreeMemory)
    return {CheckState::ok, "memory", finding};
  return known_problem("memory", finding, "files-memory");
}

Check check_data(const FilesFacts& files) {
  if (files.data_error.empty())
    return {CheckState::ok, "data", fmt::format("{}: {}", files.data_path, files.data_text)};
  return known_problem("data", "cannot be used", "files-data", files.data_error);
}

Check check_runs(const FilesFacts& files) {
  if (!files.runs_error.empty())
    return known_problem("results", files.runs_path, "files-results", files.runs_error);
  const std::string finding =
      fmt::format("{} can be written, {:.1f} GiB free", files.runs_path, gib(files.runs_free_bytes));
  if (files.runs_free_bytes >= kLeastDisk) return {CheckState::ok, "results", finding};
  return known_problem("results", finding, "files-disk");
}

std::vector<Check> check_all(const Facts& facts) {
  std::vector<Check> checks{check_program(facts), check_container(facts)};
  if (!facts.asks_for_cpu) {
    check_driver(facts, &checks);
    check_device_files(facts, &checks);
    check_visibility(facts, &checks);
    check_cudnn(facts, &checks);
    check_cublas(facts, &checks);
    check_gpu(facts, &checks);
    check_gpu_state(facts, &checks);
    check_nvml(facts, &checks);
  }
  checks.push_back(check_cpu(facts));
  checks.push_back(check_memory(facts));
  checks.push_back(check_data(facts.files));
  checks.push_back(check_runs(facts.files));
  if (facts.speed) checks.push_back(check_speed(*facts.speed));
  if (!facts.speed_error.empty()) {
    checks.push_back({CheckState::problem, "speed", "the test failed", facts.speed_error,
                      "'trainer doctor --explain' finds the row for such a message", FailureClass::machine});
  }
  return checks;
}

std::string verdict(const Facts& facts, const std::vector<Check>& checks) {
  const auto problems = std::ranges::count(checks, CheckState::problem, &Check::state);
  if (problems > 0) {
    const FailureClass kind = class_of(checks);
    return fmt::format("{} {}; exit status {}: {}", problems, problems == 1 ? "problem" : "problems",
                       exit_status(kind), meaning(kind));
  }
  const std::string cpu = fmt::format("{} {}, {}", facts.cpu.cores, facts.cpu.cores == 1 ? "core" : "cores",
                                      facts.cpu.instruction_set);
  if (!trains_on_gpu(facts))
    return fmt::format("healthy: trains on the CPU, {} ({})", cpu, reason_for_no_gpu(facts));
  const GpuTraits traits = facts.gpu.traits.value_or(GpuTraits{});
  return fmt::format("healthy: trains on GPU {}, {}, or with --device cpu on {}", facts.gpu.device,
                     traits.name, cpu);
}

}  // namespace trainer::doctor
