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

namespace fs = std::filesystem;

// The number that a file begins with; nothing if it says "max" or does not exist.
std::optional<double> number_in(const fs::path& file) {
  std::ifstream in(file);
  double number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

template <typename T>
void tighten(std::optional<T>& limit, T other) {
  limit = std::min(limit.value_or(other), other);
}

void read_cores(const fs::path& group, GroupLimits& limits) {
  std::ifstream in(group / "cpu.max");  // version 2: "150000 100000" or "max 100000"
  std::string most;
  double period = 0;
  if (in >> most >> period && most != "max" && period > 0) tighten(limits.cores, std::stod(most) / period);
  const auto quota = number_in(group / "cpu.cfs_quota_us");  // version 1: -1 is none
  const auto every = number_in(group / "cpu.cfs_period_us");
  if (quota && every && *quota > 0 && *every > 0) tighten(limits.cores, *quota / *every);
}

void read_memory(const fs::path& group, const char* limit, const char* usage, GroupLimits& limits) {
  constexpr double kNone = 1e18;  // version 1 says so many bytes where there is no limit
  const auto most = number_in(group / limit);
  const auto used = number_in(group / usage);
  if (!most || !used || *most >= kNone) return;
  double cached = 0;  // pages of files, which the kernel drops when memory is short
  std::ifstream in(group / "memory.stat");
  std::string word;
  double number = 0;
  while (in >> word >> number)
    if (word == "inactive_file" || word == "total_inactive_file") cached = std::max(cached, number);
  tighten(limits.memory_bytes, static_cast<std::uint64_t>(std::max(*most - *used + cached, 1.0)));
}

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

GroupLimits group_limits(const fs::path& membership, const fs::path& mounts) {
  GroupLimits limits;
  std::ifstream in(membership);
  for (std::string line;
       std::getline(in, line);) {  // "4:cpu,cpuacct:/user.slice"; version 2: "0::/user.slice"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const fs::path top = mounts / line.substr(first + 1, second - first - 1);
    for (fs::path name = fs::path(line.substr(second + 1)).relative_path();; name = name.parent_path()) {
      read_cores(top / name, limits);
      read_memory(top / name, "memory.max", "memory.current", limits);
      read_memory(top / name, "memory.limit_in_bytes", "memory.usage_in_bytes", limits);
      if (name.empty()) break;
    }
  }
  return limits;
}

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
  const cpu::GroupLimits limits = cpu::group_limits();
  info.quota = limits.cores;
  info.threads = threads;
  info.instruction_set = cpu::isa_name(dnnl::get_effective_cpu_isa());
  info.loops = cpu::best_loops().name;
  info.memory_bytes = cpu::memory_of("MemTotal");
  const std::uint64_t free = cpu::memory_of("MemAvailable");
  info.available_bytes = std::min(free, limits.memory_bytes.value_or(free));
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
