// What a command throws for its caller to read: main prints it in one line and exits with 2 for wrong usage, with 1
// for everything else.
#pragma once

#include <stdexcept>

namespace trainer {

// The request is wrong, or impossible here.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file or folder that could not be read or written, or that does not hold what it should.
class FileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace trainer
