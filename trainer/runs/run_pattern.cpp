// GCC's library can search all alternatives at once instead of one after the other (its __polynomial). Then
// time grows with the product of pattern and text; LLVM's gives up by itself where it would grow further.
#include "trainer/runs/run_pattern.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

namespace trainer {

namespace {

constexpr std::size_t kLongestPattern = 100;
constexpr std::size_t kLongestSearched = 256;
constexpr std::uint64_t kMostCopies = 64;

// Repetition copies what it repeats: (a{9}){9} is 81 of it.
std::uint64_t copies_of(const std::string& pattern) {
  std::uint64_t copies = 1;
  for (std::size_t i = pattern.find('{'); i != std::string::npos; i = pattern.find('{', i + 1)) {
    std::uint64_t largest = 1;
    std::uint64_t count = 0;
    for (std::size_t j = i + 1; j < pattern.size() && pattern[j] != '}'; ++j) {
      const bool digit = std::isdigit(static_cast<unsigned char>(pattern[j])) != 0;
      count =
          digit ? std::min(count * 10 + static_cast<std::uint64_t>(pattern[j] - '0'), kMostCopies + 1) : 0;
      largest = std::max(largest, count);
    }
    copies = std::min(copies * largest, kMostCopies + 1);
  }
  return copies;
}

const char* reason_of(std::regex_constants::error_type code) {
  using namespace std::regex_constants;
  if (code == error_paren || code == error_badrepeat)
    return "a parenthesis has no partner, or nothing stands before *, +, ? or {...}";
  if (code == error_brack || code == error_range)
    return "[...] is not closed, or a range in it is upside down";
  if (code == error_brace || code == error_badbrace) return "{...} is not closed, or holds no count";
  if (code == error_escape) return "the character behind the last \\ has no meaning there";
  if (code == error_ctype || code == error_collate) return "an unknown name in [[: :]]";
  if (code == error_backref || code == error_complexity) return "back-references are not taken";
  return "it is too large, or no ECMAScript pattern";
}

std::regex compiled(const std::string& pattern) {
  auto flags = std::regex::ECMAScript | std::regex::icase | std::regex::nosubs;
#ifdef __GLIBCXX__
  flags |= std::regex_constants::__polynomial;
#endif
  try {
    return std::regex(pattern, flags);
  } catch (const std::regex_error& error) {
    throw PatternError(reason_of(error.code()));
  }
}

std::regex checked(const std::string& pattern) {
  if (pattern.size() > kLongestPattern)
    throw PatternError(fmt::format("it has {} characters, {} are the most", pattern.size(), kLongestPattern));
  if (pattern.find('\0') != std::string::npos) throw PatternError("it holds a character of number 0");
  if (pattern.find("(?=") != std::string::npos || pattern.find("(?!") != std::string::npos)
    throw PatternError("look-ahead, (?= or (?!, is not taken; write !~ for what must not be there");
  if (copies_of(pattern) > kMostCopies)
    throw PatternError(fmt::format("its repetition counts multiply to more than {}", kMostCopies));
  return compiled(pattern);
}

}  // namespace

RunPattern::RunPattern(const std::string& pattern) : regex_(checked(pattern)) {}

bool RunPattern::is_in(const std::string& text) const {
  return std::regex_search(text.substr(0, kLongestSearched), regex_);
}

}  // namespace trainer
