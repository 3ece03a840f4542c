// The command lines of ssh, and the rows of failures/*.yaml filled in with a target's words.
#include "trainer/remote/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <sstream>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "models/words.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

// A socket's path has at most 108 bytes (sun_path). ssh appends 17 characters while it makes the socket; the name has 21.
constexpr std::size_t kLongestFolder = 64;

// Another user who could write there could answer in the target's place.
void require_own(const fs::path& folder) {
  struct stat status {};
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw FileError(fmt::format("cannot make the folder {} for ssh's connections: {}", folder.string(),
                                std::generic_category().message(errno)));
  const bool known = ::lstat(folder.c_str(), &status) == 0;
  if (!known || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 077U) != 0)
    throw FileError(
        fmt::format("the folder {} for ssh's connections is not yours alone: remove it, or set "
                    "XDG_RUNTIME_DIR to a folder of yours",
                    folder.string()));
}

// Two targets share a connection only if ssh is told the same about both.
std::string connection_name(const Target& target) {
  const std::string told = fmt::format("{}\n{}\n{}\n{}\n{}\n", target.address, target.username, target.port,
                                       target.identity_file, target.ssh_config);
  return sha256_hex(std::as_bytes(std::span(told))).substr(0, 16);
}

// ssh replaces tokens that begin with % in paths.
std::string without_tokens(const std::string& path) {
  std::string text;
  for (const char c : path) text += c == '%' ? "%%" : std::string(1, c);
  return text;
}

// The values of a row's words in braces.
FailureWords failure_words(const Target& target) {
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

// The last line that is not blank, without control characters, which a terminal would obey.
std::string last_line(const std::string& text) {
  constexpr std::size_t kLongest = 300;
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    std::ranges::replace_if(line, is_control, ' ');
    const std::size_t first = line.find_first_not_of(' ');
    if (first != std::string::npos) last = line.substr(first, line.find_last_not_of(' ') + 1 - first);
  }
  return last.substr(0, kLongest);
}

}  // namespace

std::string shell_word(std::string_view word) {
  if (word.find('\0') != std::string_view::npos) throw UsageError("an argument holds a zero byte");
  if (is_spelled(word, "_-./:,@+")) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string shell_command(const std::vector<std::string>& words) {
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + shell_word(word);
  return command;
}

std::string first_line(const std::string& output) {
  return output.substr(0, output.find('\n'));
}

void notice(const std::string& line) {
  fmt::print(stderr, "{}\n", line);
}

Failure target_failure(const Target& target, std::string_view key) {
  return failure_of(known_failure(key), failure_words(target));
}

Failure explain_failure(const Target& target, const ProcessOutput& output) {
  const Explanation explanation = explain(output.err + "\n" + output.out);
  if (!explanation.found.empty()) return failure_of(explanation.found.front(), failure_words(target));
  const std::string line = last_line(output.err);
  if (output.code == kProgramNotFound) return target_failure(target, "docker-absent");
  if (target.is_remote() && output.code == kSshFailed) {
    Failure lost = target_failure(target, "target-lost");
    if (!line.empty()) lost.cause += ": " + line;
    return lost;
  }
  return {.cause = line.empty() ? fmt::format("a command failed with status {}", output.code) : line};
}

fs::path control_folder(const fs::path& runtime_folder) {
  fs::path folder = runtime_folder / "mnist-trainer";
  const std::string& path = folder.native();
  if (!path.starts_with('/') || path.size() > kLongestFolder || !is_spelled(path, "/._-"))
    folder = fmt::format("/tmp/mnist-trainer-{}", ::geteuid());
  require_own(folder);
  return folder;
}

std::vector<std::string> ssh_words(const Target& target, const fs::path& control_folder) {
  std::vector<std::string> words{"ssh", "-T"};
  if (!target.ssh_config.empty()) words.insert(words.end(), {"-F", target.ssh_config});
  const std::string control_path = (control_folder / ("ssh-" + connection_name(target))).string();
  words.insert(words.end(), {"-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
                             "-o", "ServerAliveCountMax=3", "-o", "ControlMaster=auto", "-o",
                             "ControlPath=" + control_path, "-o", "ControlPersist=60"});
  if (!target.identity_file.empty())
    words.insert(words.end(), {"-o", "IdentitiesOnly=yes", "-i", without_tokens(target.identity_file)});
  words.insert(words.end(),
               {"-p", std::to_string(target.port), "--", target.username + "@" + target.address});
  return words;
}

Connection::Connection(Target target, const fs::path& runtime_folder) : target_(std::move(target)) {
  if (target_.is_remote()) ssh_ = ssh_words(target_, control_folder(runtime_folder));
}

std::vector<std::string> Connection::shell(const std::string& text) const {
  std::vector<std::string> words = ssh_.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : ssh_;
  words.push_back(text);
  return words;
}

std::vector<std::string> Connection::words(const std::vector<std::string>& words, bool quiet) const {
  if (ssh_.empty()) return words;
  std::vector<std::string> all = shell(shell_command(words));
  if (quiet) all.insert(all.begin() + 1, {"-o", "LogLevel=QUIET"});
  return all;
}

std::vector<std::string> Connection::piped_words(const std::vector<std::string>& first,
                                                 const std::vector<std::string>& second) const {
  return shell(shell_command(first) + " | " + shell_command(second));
}

ProcessOutput Connection::capture(const std::vector<std::string>& words) const {
  try {
    return capture_process(this->words(words));
  } catch (const ProcessError& error) {
    if (target_.is_remote()) throw;
    return {kProgramNotFound, "", error.what()};
  }
}

ProcessOutput Connection::require(const std::vector<std::string>& words) const {
  ProcessOutput output = capture(words);
  if (output.code != 0) fail(output);
  return output;
}

void Connection::fail(const ProcessOutput& output) const {
  throw TargetError(target_, explain_failure(target_, output));
}

}  // namespace trainer
