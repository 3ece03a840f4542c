// As much of fmt as the portable program's sources use, for compilers and processors without the library: arguments in their order
// or by number, whose layout (`:.6g`) is left out. The texts are names and errors, never a value that is trained.
#pragma once

#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace fmt {

template <typename... Arguments>
std::string format(std::string_view text, const Arguments&... arguments) {
  std::vector<std::string> words;
  const auto add = [&](const auto& argument) {
    std::ostringstream word;
    word << argument;
    words.push_back(word.str());
  };
  (add(arguments), ...);
  std::string result;
  std::size_t next = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool twice = i + 1 < text.size() && text[i + 1] == text[i];
    if (text[i] == '{' && !twice) {
      const char first = text[i + 1];
      result += words.at(first >= '0' && first <= '9' ? static_cast<std::size_t>(first - '0') : next++);
      i = text.find('}', i);
    } else {
      result += text[i];
      if ((text[i] == '{' || text[i] == '}') && twice) ++i;
    }
  }
  return result;
}

template <typename Range>
std::string join(const Range& range, std::string_view between) {
  std::string text;
  for (const auto& item : range) {
    if (!text.empty()) text += between;
    text += format("{}", item);
  }
  return text;
}

}  // namespace fmt
