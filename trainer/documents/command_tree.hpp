// The command line as plain data, for what is written from it when a package is made: manual pages and the
// shells' completion. The one source is the parser itself, so that these never tell of an option that is not
// there.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace trainer {

struct CommandOption {
  std::vector<std::string> names;  // "-h", "--help"; of a positional: "RUN", once
  std::string description;         // what is in [brackets] at its end is the value without it
  std::string value;               // "TEXT", "INT in [1 - 65536]"; empty for a flag
  std::string fallback;            // its default; empty: none, or told in the description
  bool positional = false;
  bool required = false;
  bool repeated = false;  // takes several values
};

struct CommandNode {
  std::vector<std::string> path;  // "trainer", "runs", "list"
  std::string description;
  std::vector<CommandOption> options;  // in the order of --help, positionals first
  std::vector<CommandNode> children;

  std::string joined(const std::string& separator) const;  // the path
};

CommandNode command_tree(const CLI::App& app);

}  // namespace trainer
