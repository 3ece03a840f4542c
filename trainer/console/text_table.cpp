#include "trainer/console/text_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "models/words.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// The first `width` characters, ending in two dots if something is left out.
std::string cut(const std::string& text, std::size_t width) {
  if (columns_of(text) <= width) return text;
  return std::string(first_columns(text, width - 2)) + "..";
}

std::string aligned(const std::string& text, std::size_t width, bool right) {
  const std::string shown = cut(text, width);
  const std::string spaces(width - columns_of(shown), ' ');
  return right ? spaces + shown : shown + spaces;
}

constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::array<std::pair<char, const char*>, 5> kEntities{
    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}}};

}  // namespace

std::string count_text(double number) {
  constexpr double kMost = 1e15;
  const bool counts = number >= 0 && number < kMost;
  return counts ? grouped(static_cast<std::uint64_t>(std::llround(number))) : "-";
}

TextTable::TextTable(std::vector<TableColumn> columns) : columns_(std::move(columns)) {
  std::vector<std::string>& titles = rows_.emplace_back();
  for (const auto& [title, least] : columns_) titles.push_back(title.substr(title.starts_with('>') ? 1 : 0));
}

void TextTable::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> TextTable::whole_widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = 0;
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
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c)
      line += aligned(row[c], widths[c], columns_[c].title.starts_with('>')) + std::string(gap, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

// The JSON library replaces bytes that are not UTF-8.
std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : nlohmann::ordered_json::parse(to_text(std::string(text))).get<std::string>()) {
    const auto entity = std::ranges::find(kEntities, c, &std::pair<char, const char*>::first);
    if (entity != kEntities.end())
      html += entity->second;
    else if (is_control(c) && c != '\n' && c != '\t')
      html += kReplacement;
    else
      html += c;
  }
  return html;
}

}  // namespace trainer
