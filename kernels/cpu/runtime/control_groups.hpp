// What the control groups of this process (a container's, a service's, a batch job's) let it use; versions 1 and 2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace trainer::cpu {

struct GroupLimits {
  std::optional<double> cores;                // the CPU quota: 1.5 for 150 ms in every 100 ms
  std::optional<std::uint64_t> memory_bytes;  // how much may still be used
};

// The tightest limits of the process's groups and of those above them. `membership` is /proc/self/cgroup, `mounts` the folder of the
// hierarchies. A container often sees the names of the machine's groups but only its own folders: a folder that does not exist
// limits nothing, and the top one is looked at in any case.
GroupLimits group_limits(const std::filesystem::path& membership = "/proc/self/cgroup",
                         const std::filesystem::path& mounts = "/sys/fs/cgroup");

}  // namespace trainer::cpu
