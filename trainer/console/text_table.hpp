// Columns of text for a terminal or a pipe: the same in both. Widths count characters, control characters are
// shown as '?', and columns that may shrink are cut, the widest first, until a line fits. And text within HTML and XML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

struct TableColumn {
  std::string title;      // ">title": the column is aligned on the right
  std::size_t least = 0;  // the width that it may be cut to; 0: it is never cut
};

inline constexpr std::size_t kTableWidth = 80;
inline constexpr std::size_t kWideGap = 2;  // between columns whose cells hold spaces

class TextTable {
 public:
  explicit TextTable(std::vector<TableColumn> columns);

  void add(std::vector<std::string> cells);  // one per column

  // The title line and the rows, each ending in a newline, without trailing spaces. Columns are `gap` apart.
  [[nodiscard]] std::string text(std::size_t gap = 1) const;
  // The width of the widest line, with nothing cut.
  [[nodiscard]] std::size_t width(std::size_t gap = 1) const;

 private:
  [[nodiscard]] std::vector<std::size_t> whole_widths() const;
  [[nodiscard]] std::vector<std::size_t> fitting_widths(std::size_t gap) const;

  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;  // the titles first
};

[[nodiscard]] std::string count_text(double number);  // "38,218"; "-" for a number that is not a count

// The text as HTML and XML: safe inside elements and quoted attributes; bytes that are not UTF-8 and control characters become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace trainer
