// In a text a backslash before the text's own quote makes that an ordinary character; every other one stays,
// so that patterns are written as they are.
#include "trainer/runs/filter_words.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <string_view>

#include "models/words.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

constexpr std::size_t kLongest = 2000;

// Longer ones first.
constexpr std::array<std::string_view, 14> kSymbols{"==", "!=", "<=", ">=", "=~", "!~", "&&",
                                                    "||", "<",  ">",  "!",  "(",  ")",  "="};

bool is_letter(char c) {
  return c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::vector<FilterWord> all() {
    std::vector<FilterWord> words;
    do {
      while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
      words.push_back(next());
    } while (words.back().kind != FilterWord::Kind::end);
    return words;
  }

 private:
  using Kind = FilterWord::Kind;

  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  FilterWord next() {
    FilterWord word;
    word.column = at_ + 1;
    if (at_ == text_.size()) return word;
    const bool is_signed = (peek() == '-' || peek() == '+') && (is_digit(peek(1)) || peek(1) == '.');
    if (is_letter(peek())) {
      read_name(word);
    } else if (is_digit(peek()) || peek() == '.' || is_signed) {
      read_number(word);
    } else if (peek() == '"' || peek() == '\'') {
      read_text(word);
    } else {
      read_symbol(word);
    }
    return word;
  }

  void read_name(FilterWord& word) {
    word.kind = Kind::name;
    while (is_letter(peek()) || is_digit(peek())) word.text += text_[at_++];
  }

  void read_number(FilterWord& word) {
    word.kind = Kind::number;
    const std::size_t begin = at_ + (peek() == '+' ? 1 : 0);
    const char* end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(text_.data() + begin, end, word.number);
    if (error != std::errc() || !std::isfinite(word.number) || (stop != end && is_letter(*stop)))
      refuse_filter(word.column, fmt::format("{} begins no number", in_quotes(text_.substr(at_, 12))));
    at_ = static_cast<std::size_t>(stop - text_.data());
    word.text = text_.substr(word.column - 1, at_ + 1 - word.column);
  }

  void read_text(FilterWord& word) {
    word.kind = Kind::text;
    const char quote = text_[at_++];
    while (peek() != quote || at_ == text_.size()) {
      if (at_ == text_.size()) refuse_filter(word.column, fmt::format("the text has no closing {}", quote));
      if (peek() == '\\' && peek(1) == quote) ++at_;
      word.text += text_[at_++];
    }
    ++at_;
  }

  void read_symbol(FilterWord& word) {
    word.kind = Kind::symbol;
    for (const std::string_view symbol : kSymbols) {
      if (!text_.substr(at_).starts_with(symbol)) continue;
      word.text = symbol;
      at_ += symbol.size();
      return;
    }
    const std::string_view found = text_.substr(at_, 1);
    const bool half = found == "&" || found == "|";
    refuse_filter(word.column, half ? fmt::format("'{0}' alone means nothing; write {0}{0}", found)
                                    : fmt::format("{} begins no word", in_quotes(found)));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

void refuse_filter(std::size_t column, const std::string& reason) {
  throw UsageError(fmt::format("--where: column {}: {}", column, reason));
}

std::vector<FilterWord> filter_words(const std::string& expression) {
  if (expression.size() > kLongest)
    refuse_filter(kLongest + 1, fmt::format("an expression has {} characters at most", kLongest));
  return Reader(expression).all();
}

}  // namespace trainer
