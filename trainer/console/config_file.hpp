// --config FILE: options from a file of YAML, one `name: value` a line, named like the long options. They
// become arguments in front of those of the command line, so that the command line has the last word, and may
// go where the file is not (submit).
#pragma once

#include <set>
#include <string>
#include <vector>

namespace trainer {

// What a file may say: names without dashes; flags take true or false.
struct OptionNames {
  std::set<std::string> values;
  std::set<std::string> flags;
};

// `words` of a command with the lines of their --config file right behind `words[0]` and in place of that
// option:
// "--epochs=3" for `epochs: 3`, "--quiet" for `quiet: true`. As they were where there is none. Throws
// UsageError with file:line:column for an unknown name, anything that is not one value, or what is not YAML.
std::vector<std::string> with_config_lines(std::vector<std::string> words, const OptionNames& names);

}  // namespace trainer
