// The subcommands of `trainer runs`, added as in commands.hpp.
#pragma once

#include "trainer/commands/commands.hpp"

namespace trainer {}  // namespace trainer
