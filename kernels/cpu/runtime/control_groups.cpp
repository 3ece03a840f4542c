#include "kernels/cpu/runtime/control_groups.hpp"

#include <algorithm>
#include <fstream>
#include <string>

namespace trainer::cpu {

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

}  // namespace trainer::cpu
