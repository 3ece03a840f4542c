// What the commands share.
#include "trainer/commands/commands.hpp"

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace trainer {

void require_output() {
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
}

}  // namespace trainer
