// The command line around its parser: options from a file, and the message for a line that cannot be parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace trainer {

struct SettingLine {
  std::string name;
  std::string value;
  std::string place;  // "file:line:column"
};

// The lines `name: value` of a YAML file that `option` names; each name is a `what` among `known`, at most once. Throws UsageError
// with the place.
std::vector<SettingLine> setting_lines(const std::string& option, const std::string& file, const char* what,
                                       const std::vector<std::string>& known);

// The `words` of `command` with --config FILE replaced by the file's options. These come right after words[0], so that the
// command line overrides them, and they also work where the file does not exist (submit). The file is YAML with one `name: value`
// per line, named like the long options, with true or false for a flag: "--epochs=3" for `epochs: 3`,
// "--quiet" for `quiet: true`. Without --config the words are unchanged. Throws UsageError with file:line:column for an unknown
// name, anything but a single value, or text that is not YAML.
std::vector<std::string> with_config_lines(std::vector<std::string> words, const CLI::App& command);

// One line, without its newline: the wrong word, the choices or the nearest one, and where to read more. The library's own
// messages take several lines and suggest no nearest word. `app` is the program's, after its parse() threw `error`.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace trainer
