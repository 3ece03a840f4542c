// The message of the DataError that a call throws, to compare its parts.
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "data/dataset.hpp"

namespace trainer::test {

template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const data::DataError& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

}  // namespace trainer::test

// Both are text; the whole message is shown where the part is missing.
#define EXPECT_HAS(message, part) \
  EXPECT_NE((message).find(part), std::string::npos) << (message) << "\nlacks: " << (part)
