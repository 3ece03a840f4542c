// This machine's processor, its instruction set, and how much of it this process may use: read from the
// kernel's files (/proc, the control groups) and from oneDNN. Values that cannot be read stay empty.
#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <oneapi/dnnl/dnnl.hpp>
#include <sched.h>
#include <string>
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cpu/runtime/control_groups.hpp"
#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/cpu/runtime/stream.hpp"

namespace trainer {

namespace cpu {

namespace {

// The text after "key<spaces>:" in a file of such lines; empty if the key is missing.
std::string value_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::uint64_t memory_of(const std::string& key) {
  const std::string text = value_of("/proc/meminfo", key);  // "24643884 kB"
  return text.empty() ? 0 : std::stoull(text) * 1024;
}

// The free memory of the machine, or less if a control group's limit is lower.
std::uint64_t available_memory() {
  const std::uint64_t free = memory_of("MemAvailable");
  return std::min(free, group_limits().memory_bytes.value_or(free));
}

const char* isa_name(dnnl::cpu_isa isa) {
  static constexpr std::pair<dnnl::cpu_isa, const char*> kNames[] = {
      {dnnl::cpu_isa::sse41, "SSE4.1"},
      {dnnl::cpu_isa::avx, "AVX"},
      {dnnl::cpu_isa::avx2, "AVX2"},
      {dnnl::cpu_isa::avx2_vnni, "AVX2 with VNNI"},
      {dnnl::cpu_isa::avx512_core, "AVX-512"},
      {dnnl::cpu_isa::avx512_core_vnni, "AVX-512 with VNNI"},
      {dnnl::cpu_isa::avx512_core_bf16, "AVX-512 with bf16"},
      {dnnl::cpu_isa::avx512_core_amx, "AVX-512 with AMX"}};
  for (const auto& [known, name] : kNames) {
    if (known == isa) return name;
  }
  return "newer than this program knows";
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  const double quota = group_limits().cores.value_or(cores);
  return std::max(std::min(cores, static_cast<int>(quota + 0.999)), 1);
}

}  // namespace cpu

CpuInfo describe_cpu(int threads) {
  CpuInfo info;
  info.model = cpu::value_of("/proc/cpuinfo", "model name");
  if (info.model.empty()) info.model = "unknown processor";
  info.cores = cpu::usable_cores();
  info.quota = cpu::group_limits().cores;
  info.threads = threads;
  info.instruction_set = cpu::isa_name(dnnl::get_effective_cpu_isa());
  info.loops = cpu::best_loops().name;
  info.memory_bytes = cpu::memory_of("MemTotal");
  info.available_bytes = cpu::available_memory();
  const dnnl_version_t* version = dnnl_version();
  info.onednn_version = fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
  return info;
}

bool cpu_has(Precision precision) {
  if (precision != Precision::bf16) return precision == Precision::fp32;
  // oneDNN's instruction sets are bit masks: a newer set contains the bits of an older one.
  const auto bits = [](dnnl::cpu_isa isa) { return static_cast<unsigned>(isa); };
  const unsigned bf16 = bits(dnnl::cpu_isa::avx512_core_bf16);
  return cpu::bf16_loops() != nullptr && (bits(dnnl::get_effective_cpu_isa()) & bf16) == bf16;
}

}  // namespace trainer
