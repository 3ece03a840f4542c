// The environment is changed for this process alone.
#include "trainer/system/wait_policy.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace trainer {

void restart_with_short_spins(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code error;
  const std::string name = std::filesystem::read_symlink("/proc/self/exe", error).filename().string();
  if (error || name.starts_with("ld-"))
    return;  // started through the dynamic loader: not a program of its own
  if (setenv("GOMP_SPINCOUNT", "1000", 0) != 0) return;
  execv("/proc/self/exe", argv);
}

}  // namespace trainer
