// What the program says to a command line that it cannot parse: one line with the word that is wrong, the
// choices or the nearest one, and where to read more. The library's own texts take several lines and know no
// nearest word.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace trainer {

// `app` is the program's, after its parse() threw `error`. Without the line end.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace trainer
