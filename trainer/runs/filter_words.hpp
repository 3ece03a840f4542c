// The words of a --where expression, with the column each stands at.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace trainer {

struct FilterWord {
  enum class Kind { name, number, text, symbol, end };
  Kind kind = Kind::end;
  std::string text;  // of a text without its quotes
  double number = 0;
  std::size_t column = 1;  // the first is 1
};

// The last word is of kind end. Throws UsageError with the column: a character that begins no word, a text
// without its end, an expression that is too long.
[[nodiscard]] std::vector<FilterWord> filter_words(const std::string& expression);

[[noreturn]] void refuse_filter(std::size_t column, const std::string& reason);

}  // namespace trainer
