// Manual pages in the language of man(7), one a command: "trainer.1", "trainer-train.1",
// "trainer-runs-list.1".
#pragma once

#include <string>

#include "trainer/documents/command_tree.hpp"

namespace trainer {

struct ManualSource {
  std::string version;
  std::string date;  // "2026-01-31"
};

std::string manual_page(const CommandNode& command, const ManualSource& source);

}  // namespace trainer
