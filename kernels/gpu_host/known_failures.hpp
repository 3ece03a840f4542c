// What goes wrong between a program, a GPU, and a machine elsewhere: the rows of failures/*.yaml, which the build turns into one
// constant table (failures/README.md says what the fields are), and the one look-up that finds a row by its key, by a
// code of CUDA or by a message. The engine's refusals, trainer doctor and the targets all speak through it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// What kind of thing is to be mended. From 10 to 18 the numbers are trainer doctor's exit status; what is a target's matter,
// from 20 on, ends a command with 1.
enum class FailureClass {
  healthy = 0,
  failed = 1,  // the command itself, or a GPU that stands out among equal ones
  no_driver = 10,
  driver_version = 11,
  no_device = 12,
  no_code = 13,
  busy = 14,
  libraries = 15,
  container = 16,
  machine = 17,
  files = 18,
  unreachable = 20,
  login = 21,
  docker = 22,
};

int exit_status(FailureClass kind);
std::string_view meaning(FailureClass kind);  // a few words: "no GPU is visible to this process"

// What the program itself says where it finds the failure; the words in braces are filled in.
struct Finding {
  std::string_view when;  // which of the row's; empty: the usual one
  std::string_view cause;
  std::string_view fix;  // empty: the row's
};

struct KnownFailure {
  std::string_view key;  // "driver-mismatch"
  FailureClass kind = FailureClass::failed;
  std::string_view example;
  // Pieces of messages as they are written; " ... " stands for anything in between. Numbers may differ.
  std::span<const std::string_view> says;
  std::span<const int> codes;  // by the CUDA runtime or driver: "CUDA error 803"
  std::string_view cause;
  std::string_view sure;  // how to be sure that it is this
  std::string_view fix;
  std::span<const Finding> found;
};

struct ClassMeaning {
  FailureClass kind;
  std::string_view meaning;
};

// The table, of static storage.
std::span<const KnownFailure> known_failures();
std::span<const ClassMeaning> class_meanings();  // for those from 10 on, in their order

const KnownFailure& known_failure(std::string_view key);  // there is one, or std::logic_error

// What the words in braces stand for; one that is not among them is written in capitals: "HOST".
using FailureWords = std::map<std::string_view, std::string>;
std::string filled_in(std::string_view text, const FailureWords& words = {});

// A failure as it is reported. The key is empty where no row is known.
struct Failure {
  std::string_view key = {};
  FailureClass kind = FailureClass::failed;
  std::string cause = {};
  std::string fix = {};  // may be empty where no row is known
  std::string text(std::string_view between = "; ") const {
    return fix.empty() ? cause : cause + std::string(between) + fix;
  }
};

Failure failure_of(const KnownFailure& row, const FailureWords& words = {});
// In the words that the row has for `when` the program finds it.
Failure found_failure(std::string_view key, std::string_view when, const FailureWords& words);

struct Explanation {
  std::vector<KnownFailure> found;    // what this program says itself, then the most specific first
  std::vector<KnownFailure> nearest;  // by their words, where none was found: three at most
};

// The rows for a message as it was pasted: case, numbers, line breaks, terminal colours and what stands
// before and after do not matter.
Explanation explain(std::string_view pasted);

}  // namespace trainer
