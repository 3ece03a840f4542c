// The bar is removed by overwriting it with blanks: '\r' is the only control character that every terminal knows.
#include "trainer/console/progress.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "models/words.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using namespace std::chrono_literals;

constexpr auto kRedrawInterval = 100ms;
constexpr auto kLineInterval = 10s;

std::string repeated(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

bool is_utf8(const std::string& variable) {
  const std::string locale = lower(variable);
  return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
}

std::string terminal_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

double clamped_fraction(double fraction) {
  return std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
}

std::string percent(double fraction) {
  return fmt::format("{:3.0f} %", std::floor(clamped_fraction(fraction) * 100));
}

winsize terminal_size(int descriptor) {
  winsize size{};
  const bool told = ioctl(descriptor, TIOCGWINSZ, &size) == 0;
  if (!told || size.ws_col == 0) size.ws_col = 80;
  if (!told || size.ws_row == 0) size.ws_row = 24;
  return size;
}

}  // namespace

TerminalVariables terminal_variables() {
  TerminalVariables variables{terminal_variable("TERM"), {}};
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (variables.locale.empty()) variables.locale = terminal_variable(name);
  return variables;
}

Screen screen_of(std::FILE* out, const TerminalVariables& variables) {
  const int descriptor = fileno(out);
  const bool dumb = variables.term.empty() || variables.term == "dumb";
  Screen screen;
  screen.terminal = isatty(descriptor) == 1;
  screen.cursor = screen.terminal && !dumb;
  screen.unicode = screen.cursor && is_utf8(variables.locale);
  screen.columns = [descriptor] { return terminal_size(descriptor).ws_col; };
  screen.rows = [descriptor] { return terminal_size(descriptor).ws_row; };
  return screen;
}

std::string progress_bar(double fraction, std::string_view text, int columns, bool unicode) {
  constexpr int kWidestBar = 30;
  const int bar = std::clamp(columns / 4, 0, kWidestBar);
  const int full = static_cast<int>(clamped_fraction(fraction) * bar);
  std::string line = repeated(unicode ? "━" : "#", full) + repeated(unicode ? "─" : "-", bar - full);
  line += fmt::format(" {}  {}", percent(fraction), text);
  const std::string_view shown = first_columns(line, static_cast<std::size_t>(std::max(columns, 0)));
  const std::size_t gap = line.rfind("  ", shown.size());
  const bool ends_early = shown.size() < line.size() && gap > line.size() - text.size();
  return std::string(ends_early ? shown.substr(0, gap) : shown);
}

std::string pace_text(std::optional<double> seconds_left, std::optional<double> images_per_second) {
  std::string text;
  if (seconds_left) {
    const double whole = std::ceil(*seconds_left);
    text += fmt::format("  {} left", whole < 60 ? fmt::format("{:.0f} s", whole) : duration_text(whole));
  }
  if (images_per_second) text += fmt::format("  {} images/s", count_text(*images_per_second));
  return text;
}

Console::Console(std::FILE* out, const ConsoleOptions& options, std::optional<Screen> screen)
    : out_(out),
      options_(options),
      screen_(screen        ? *std::move(screen)
              : options.bar ? screen_of(out)
                            : Screen{}),
      last_output_(screen_.now()) {}

Console::~Console() {
  clear_progress();
}

void Console::line(std::string_view text) {
  this->text(fmt::format("{}\n", text));
}

void Console::text(std::string_view lines) {
  write_for_people(lines, !options_.quiet);
}

void Console::result(std::string_view lines) {
  write_for_people(lines, true);
}

void Console::write_for_people(std::string_view lines, bool shown) {
  if (lines.empty()) return;
  const std::string whole = fmt::format("{}{}", lines, lines.back() == '\n' ? "" : "\n");
  keep(whole);
  if (shown && !options_.json) write_lines(whole);
}

void Console::keep_in(const std::filesystem::path& file) {
  kept_ = Descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
}

void Console::keep(std::string_view text) {
  if (kept_.is_open() && ::write(kept_.number(), text.data(), text.size()) != std::ssize(text))
    kept_ = Descriptor();
}

void Console::json(const nlohmann::ordered_json& value) {
  if (options_.json) write_lines(to_text(value) + "\n");
}

void Console::warning(std::string_view text) {
  write_message("warning", text);
}

void Console::error(std::string_view text) {
  write_message("error", text);
}

void Console::progress(double fraction, const std::function<std::string()>& text) {
  if (options_.quiet || options_.json) return;
  const auto now = screen_.now();
  if (!screen_.terminal) {
    if (now - last_output_ >= kLineInterval)
      write_lines(fmt::format("  {}  {}\n", percent(fraction), text()));
    return;
  }
  if (bar_columns_ > 0 && now - last_output_ < kRedrawInterval) return;
  // One column fewer than the terminal has, since some terminals wrap after the last one.
  const std::string bar = progress_bar(fraction, text(), screen_.columns() - 1, screen_.unicode);
  const std::size_t columns = columns_of(bar);
  const std::size_t blanks = bar_columns_ > columns ? bar_columns_ - columns : 0;
  write("\r" + bar + std::string(blanks, ' '));
  bar_columns_ = columns;
  last_output_ = now;
}

void Console::clear_progress() {
  if (bar_columns_ == 0) return;
  write("\r" + std::string(std::exchange(bar_columns_, 0), ' ') + "\r");
}

void Console::write_lines(std::string_view lines) {
  clear_progress();
  write(lines);
  last_output_ = screen_.now();
}

void Console::write_message(std::string_view kind, std::string_view text) {
  clear_progress();
  const std::string message = fmt::format("{}: {}\n", kind, text);
  keep(message);
  if (options_.messages == nullptr) return;
  std::fwrite(message.data(), 1, message.size(), options_.messages);
  std::fflush(options_.messages);
}

void Console::write(std::string_view text) {
  if (write_failed_) return;
  const bool written = std::fwrite(text.data(), 1, text.size(), out_) == text.size();
  write_failed_ = !written || std::fflush(out_) != 0;
  if (!write_failed_) return;
  if (errno == EPIPE) return std::clearerr(out_);
  bar_columns_ = 0;
  warning(fmt::format("standard output cannot be written: {}", std::generic_category().message(errno)));
}

}  // namespace trainer
