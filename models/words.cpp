// The nearest word has the smallest "optimal string alignment" distance: Levenshtein's with swaps.
#include "models/words.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <fmt/ranges.h>

namespace trainer {

namespace {

constexpr std::size_t kMostQuoted = 40;

std::size_t distance(const std::string& a, const std::string& b) {
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> table((a.size() + 1) * width);
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return table[i * width + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  }
  return at(a.size(), b.size());
}

}  // namespace

std::string lower(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lowered;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

std::string printable(std::string_view text) {
  std::string shown(text);
  std::replace_if(shown.begin(), shown.end(), is_control, '?');
  return shown;
}

std::string in_quotes(std::string_view word) {
  std::string text(word.substr(0, kMostQuoted));
  // The cut never leaves part of a UTF-8 character at the end.
  if (word.size() > kMostQuoted) {
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80U) text.pop_back();
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0U) text.pop_back();
  }
  return fmt::format("'{}{}'", printable(text), word.size() > kMostQuoted ? "..." : "");
}

std::string joined(const Words& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string nearest_word(std::string_view word, const Words& choices) {
  if (word.size() > kMostQuoted) return "";
  const std::string wanted = lower(word);
  std::string nearest;
  std::size_t least = wanted.size() / 3 + 2;
  for (const std::string& choice : choices) {
    const std::size_t slips = distance(wanted, lower(choice));
    if (slips < least && slips < choice.size()) {
      least = slips;
      nearest = choice;
    }
  }
  return nearest;
}

std::string unknown_word(std::string_view what, std::string_view word, const Words& choices) {
  const std::string nearest = nearest_word(word, choices);
  return fmt::format("unknown {} {};{} one of {}", what, in_quotes(word),
                     nearest.empty() ? "" : fmt::format(" did you mean {}?", nearest), joined(choices));
}

}  // namespace trainer
