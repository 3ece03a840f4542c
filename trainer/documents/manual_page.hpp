// Manual pages in the language of man(7), one for each command: "trainer.1", "trainer-train.1", "trainer-runs-list.1". They are
// written from the parser itself, so that they never describe an option that does not exist.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace trainer {

struct ManualSource {
  std::string version;
  std::string date;  // "2026-01-31"
};

// "trainer runs list" with ' ' between the names of the program and its commands, "trainer-runs-list" with '-'.
std::string whole_name(const CLI::App& command, char between);

// The page of the program or of one of its commands.
std::string manual_page(const CLI::App& command, const ManualSource& source);

}  // namespace trainer
