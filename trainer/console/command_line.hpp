// The command line beside its parser: options from a file, and what the program says to a line that cannot be parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace trainer {

// `words` of `command` with the options of their --config FILE behind words[0] and in place of that option, so that the command
// line has the last word, and the options may go where the file is not (submit). The file is YAML, one `name: value` a line, named
// like the long options, with true or false for a flag: "--epochs=3" for `epochs: 3`, "--quiet" for `quiet: true`. Without --config
// the words stay as they were. Throws UsageError with file:line:column for an unknown name, anything that is not one value, or
// what is not YAML.
std::vector<std::string> with_config_lines(std::vector<std::string> words, const CLI::App& command);

// One line with the word that is wrong, the choices or the nearest one, and where to read more, without the line end: the
// library's own texts take several lines and know no nearest word. `app` is the program's, after its parse() threw `error`.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace trainer
