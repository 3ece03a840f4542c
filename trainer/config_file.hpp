// --config FILE: options from a file of YAML, one `name: value` a line, named like the long options. They
// become arguments in front of those of the command line, so that the command line has the last word.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace trainer {

// What a file may say: names without dashes; flags take true or false.
struct OptionNames {
  std::set<std::string> values;
  std::set<std::string> flags;
};

// "--epochs=3" for `epochs: 3`, "--quiet" for `quiet: true`. Throws UsageError with file:line:column for an
// unknown name, anything that is not one value, or what is not YAML.
std::vector<std::string> arguments_from(const std::filesystem::path& file, const OptionNames& names);

}  // namespace trainer
