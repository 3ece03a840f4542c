// What was not looked at, and the verdict, which says what it rests on.
#include <algorithm>
#include <fmt/format.h>

#include "trainer/device/device_report.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {

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

}  // namespace trainer::doctor
