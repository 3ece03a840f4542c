// What the shells complete: commands, options, and the values that are known: networks, devices, runs,
// targets. A script looks runs and targets up when it is asked, in the folders that the program looks in.
#pragma once

#include <string>
#include <vector>

#include "trainer/documents/command_tree.hpp"

namespace trainer {

struct Completions {
  // runs and models may be named by their files too
  enum class Kind { none, words, models, runs, targets, files, folders } kind = Kind::none;
  std::vector<std::string> words;
};

// Of the values of a command's option or positional; `models` are the shipped networks. Flags have none.
Completions completions_of(const CommandNode& command, const CommandOption& option,
                           const std::vector<std::string>& models);

// Whole scripts, for bash-completion's and zsh's folders.
std::string bash_completion(const CommandNode& root, const std::vector<std::string>& models);
std::string zsh_completion(const CommandNode& root, const std::vector<std::string>& models);

}  // namespace trainer
