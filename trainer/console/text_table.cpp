#include "trainer/console/text_table.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/words.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// The first `width` characters, the last two of them dots where something is left out.
std::string cut(const std::string& text, std::size_t width) {
  if (columns_of(text) <= width) return text;
  return std::string(first_columns(text, width - 2)) + "..";
}

std::string aligned(const std::string& text, std::size_t width, TableColumn::Align align) {
  const std::string shown = cut(text, width);
  const std::string spaces(width - columns_of(shown), ' ');
  return align == TableColumn::Align::left ? shown + spaces : spaces + shown;
}

}  // namespace

std::string count_text(double number) {
  constexpr double kMost = 1e15;
  const bool counts = number >= 0 && number < kMost;
  return counts ? grouped(static_cast<std::uint64_t>(std::llround(number))) : "-";
}

void TextTable::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> TextTable::whole_widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = columns_of(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, columns_of(row[c]));
    widths.push_back(width);
  }
  return widths;
}

std::size_t TextTable::width(std::size_t gap) const {
  const std::vector<std::size_t> widths = whole_widths();
  return std::accumulate(widths.begin(), widths.end(), gap * (widths.size() - 1));
}

std::vector<std::size_t> TextTable::fitting_widths(std::size_t gap) const {
  std::vector<std::size_t> widths = whole_widths();
  for (std::size_t all = width(gap); all > kTableWidth; --all) {
    std::size_t widest = widths.size();
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const bool shrinks = columns_[c].least > 0 && widths[c] > columns_[c].least;
      if (shrinks && (widest == widths.size() || widths[c] > widths[widest])) widest = c;
    }
    if (widest == widths.size()) break;
    --widths[widest];
  }
  return widths;
}

std::string TextTable::text(std::size_t gap) const {
  const std::vector<std::size_t> widths = fitting_widths(gap);
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (c > 0) line.append(gap, ' ');
      line += aligned(cell_of(c), widths[c], columns_[c].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  add_line([&](std::size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) add_line([&](std::size_t c) { return row[c]; });
  return text;
}

}  // namespace trainer
