// The known failures of programs, GPUs and remote machines: the rows of failures/*.yaml, which the build turns into one
// constant table (failures/README.md describes the fields), and the only functions that find a row by its key, by a
// CUDA code or by a message. The engine's refusals, trainer doctor and the targets all take their texts from here.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// What needs to be fixed. The numbers from 10 to 19 are trainer doctor's exit status; problems of a target or of a cluster, from
// 20 on, end a command with 1.
enum class FailureClass {
  healthy = 0,
  failed = 1,  // the command itself, a device's training, or a GPU that is slower than its equals
  no_driver = 10,
  driver_version = 11,
  no_device = 12,
  no_code = 13,
  busy = 14,
  libraries = 15,
  container = 16,
  machine = 17,
  files = 18,
  wrong_results = 19,
  unreachable = 20,
  login = 21,
  docker = 22,
  mpi = 23,
  nccl = 24,
  slurm = 25,
};

int exit_status(FailureClass kind);
std::string_view meaning(FailureClass kind);  // a few words: "no GPU is visible to this process"

// What the program itself says when it finds the failure; the words in braces are filled in.
struct Finding {
  std::string_view when;  // which of the row's findings; empty: the usual one
  std::string_view cause;
  std::string_view fix;  // empty: the row's fix
};

constexpr int kFirstXid = 10000;

struct KnownFailure {
  std::string_view key;  // "driver-mismatch"
  FailureClass kind = FailureClass::failed;
  std::string_view example;
  // Pieces of messages as programs write them, in whole words; " ... " stands for anything in between on one line, a
  // final * for the rest of a word. Numbers may differ.
  std::span<const std::string_view> says;
  std::span<const int>
      codes;  // the CUDA runtime's or driver's: "CUDA error 803"; the driver's Xid 79 is kFirstXid + 79
  std::string_view cause;
  std::string_view sure;  // how to be sure that this is the failure
  std::string_view fix;
  std::span<const Finding> found;
};

struct ClassMeaning {
  FailureClass kind;
  std::string_view meaning;
};

// The table; it has static storage duration.
std::span<const KnownFailure> known_failures();
std::span<const ClassMeaning> class_meanings();  // for the classes from 10 on, in ascending order

const KnownFailure& known_failure(std::string_view key);  // throws std::logic_error if there is none

// The values of the words in braces; a word without a value is written in capitals: "HOST".
using FailureWords = std::map<std::string_view, std::string>;
std::string filled_in(std::string_view text, const FailureWords& words = {});

// A failure as it is reported. The key is empty if no row is known.
struct Failure {
  std::string_view key = {};
  FailureClass kind = FailureClass::failed;
  std::string cause = {};
  std::string fix = {};  // may be empty if no row is known
  std::string text(std::string_view between = "; ") const {
    return fix.empty() ? cause : cause + std::string(between) + fix;
  }
};

Failure failure_of(const KnownFailure& row, const FailureWords& words = {});
// The failure `key` in the words of the row's finding `when`.
Failure found_failure(std::string_view key, std::string_view when, const FailureWords& words);

struct Explanation {
  std::vector<KnownFailure> found;    // this program's own messages first, then by how specific they are
  std::vector<KnownFailure> nearest;  // the most similar by their words, if none was found: at most three
};

// The rows for a pasted message: case, numbers, line breaks, terminal colours and the text before and after do not
// matter.
Explanation explain(std::string_view pasted);

}  // namespace trainer
