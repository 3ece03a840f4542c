// What the program says to a person (or, with --json, to a program) goes through one Console: whole
// lines, and on a terminal a progress bar below them that is redrawn in place. In a pipe the bar is a plain
// line now and then. Messages (warnings, errors) go to the other stream and are never silenced.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "trainer/system/files.hpp"

namespace trainer {

// What can be shown where the output goes.
struct Screen {
  bool terminal = false;  // a bar that is redrawn, instead of a line now and then
  bool unicode = false;
  bool cursor = false;  // the terminal's cursor can be moved back to earlier lines
  std::function<int()> columns = [] { return 80; };  // the size, asked for at each redraw
  std::function<int()> rows = [] { return 24; };
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Environment variables that say what a terminal can do; empty: not set.
struct TerminalVariables {
  std::string term;    // TERM
  std::string locale;  // the first of LC_ALL, LC_CTYPE, LANG that is set and not empty
};

TerminalVariables terminal_variables();  // of this process
// Has a bar if `out` is a terminal, and Unicode if that terminal can show it (a UTF-8 locale, and TERM is not dumb).
[[nodiscard]] Screen screen_of(std::FILE* out, const TerminalVariables& variables = terminal_variables());

struct ConsoleOptions {
  bool quiet = false;  // only results
  bool json = false;   // only JSON lines
  bool bar = true;  // on a terminal; a launcher of ranks gives each of them one, wherever its own output goes
  std::FILE* messages = stderr;  // null: none
};

// After the first failed write it writes nothing more: a training continues and saves its results. A reader that closed its pipe has
// read what it wanted; any other reason (a full disk) is a warning at once, and the stream keeps its error for the exit status.
class Console {
 public:
  // `out` and the stream for messages stay the caller's. Without a screen the console finds out what `out` can show.
  Console(std::FILE* out, const ConsoleOptions& options, std::optional<Screen> screen = {});
  ~Console();  // removes the bar
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // One line for a person. Nothing with quiet or json.
  void line(std::string_view text);
  // The same for several lines, with or without a final newline. An empty text prints nothing.
  void text(std::string_view lines);
  // The result of the command, in one line or more: printed even with quiet. Nothing with json.
  void result(std::string_view lines);
  // One line for a program. Nothing without json.
  void json(const nlohmann::ordered_json& value);
  // "warning: ..." and "error: ..." on the stream for messages, always.
  void warning(std::string_view text);
  void error(std::string_view text);

  // From now on everything for a person, even what quiet or json silence, is also appended to `file`, without the bar. If that fails,
  // nothing more is kept: a training continues.
  void keep_in(const std::filesystem::path& file);
  void keep(std::string_view text);  // only there

  // Shows progress, from 0 to 1: on a terminal as a bar, redrawn at most ten times a second; elsewhere as a line whenever 10
  // seconds have passed since the last line of any kind. `text` is called only when it is shown.
  void progress(double fraction, const std::function<std::string()>& text);
  void clear_progress();

 private:
  void write(std::string_view text);
  void write_for_people(std::string_view lines, bool shown);
  void write_lines(std::string_view lines);
  void write_message(std::string_view kind, std::string_view text);

  std::FILE* out_;
  ConsoleOptions options_;
  Screen screen_;
  std::size_t bar_columns_ = 0;  // width of the bar on the screen; 0: no bar
  std::chrono::steady_clock::time_point last_output_;
  bool write_failed_ = false;
  Descriptor kept_;
};

// "━━━━━━━━────  63 %  text", at most `columns` wide, with '#' and '-' without `unicode`.
// What of the text does not fit is left out from the last gap of two spaces on.
[[nodiscard]] std::string progress_bar(double fraction, std::string_view text, int columns, bool unicode);

// "  1 min 5 s left  32,800 images/s", without what is not known: time left and speed, for the end of a progress text.
[[nodiscard]] std::string pace_text(std::optional<double> seconds_left,
                                    std::optional<double> images_per_second);

}  // namespace trainer
