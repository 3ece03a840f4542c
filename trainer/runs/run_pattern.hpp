// A regular expression for the texts of runs: ECMAScript's, found anywhere in the text, capitals and small
// letters alike. What makes matching exponential or deep is refused, so that no pattern hangs or ends the
// program: look-ahead, back-references, patterns of more than 100 characters, repetition counts that multiply
// to more than 64. Of a text its first 256 bytes are looked at.
#pragma once

#include <regex>
#include <stdexcept>
#include <string>

namespace trainer {

// The reason, without the pattern.
class PatternError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class RunPattern {
 public:
  explicit RunPattern(const std::string& pattern);  // throws PatternError
  [[nodiscard]] bool is_in(const std::string& text) const;

 private:
  std::regex regex_;
};

}  // namespace trainer
