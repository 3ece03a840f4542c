// The message of the FileError that a call throws, and its parts.
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <string>

#include "trainer/system/files.hpp"

namespace trainer {

inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no FileError was thrown";
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

}  // namespace trainer
