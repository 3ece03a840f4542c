// The words that a target gives the table's rows, and what is said where no row is known.
#include "trainer/remote/failure_text.hpp"

#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/remote/shell_words.hpp"

namespace trainer {

namespace {

FailureWords words_of(const Target& target) {
  std::string ssh = fmt::format("ssh -p {} {}@{}", target.port, target.username, target.address);
  if (!target.identity_file.empty()) ssh.insert(3, " -i " + shell_word(target.identity_file));
  if (!target.ssh_config.empty()) ssh.insert(3, " -F " + shell_word(target.ssh_config));
  return {{"host", target.is_remote() ? target.address : "this machine"},
          {"user", target.is_remote() ? target.username : "you"},
          {"ssh", ssh},
          {"image", target.image},
          {"name", target.name},
          {"there", target.is_remote() ? "there: " : ""}};
}

// The last line that says something, without what a terminal would obey.
std::string last_line(const std::string& text) {
  std::string line;
  std::string last;
  for (const char c : text + "\n") {
    if (c != '\n') line += is_control(c) ? ' ' : c;
    if (c != '\n') continue;
    if (line.find_first_not_of(' ') != std::string::npos) last = line.substr(line.find_first_not_of(' '));
    line.clear();
  }
  constexpr std::size_t kLongest = 300;
  while (!last.empty() && last.back() == ' ') last.pop_back();
  return last.substr(0, kLongest);
}

constexpr int kSshFailed = 255;

}  // namespace

Failure target_failure(const Target& target, std::string_view key) {
  return failure_of(known_failure(key), words_of(target));
}

Failure explain_failure(const Target& target, const ProcessOutput& output) {
  const Explanation explanation = explain(output.err + "\n" + output.out);
  if (!explanation.found.empty()) return failure_of(explanation.found.front(), words_of(target));
  const std::string line = last_line(output.err);
  if (output.code == kProgramNotFound) return target_failure(target, "docker-absent");
  if (target.is_remote() && output.code == kSshFailed) {
    Failure lost = target_failure(target, "target-lost");
    if (!line.empty()) lost.cause += ": " + line;
    return lost;
  }
  return {.cause = line.empty() ? fmt::format("a command failed with status {}", output.code) : line};
}

}  // namespace trainer
