// The command lines of ssh, and what goes to the shell on the other side.
#include "trainer/remote/connection.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace {

// A socket's path has at most 108 bytes (sun_path). ssh appends 17 characters while it makes the socket; the name has 21.
constexpr std::size_t kLongestFolder = 64;

// Another user who could write there could answer in the target's place.
void require_own(const fs::path& folder) {
  struct stat status {};
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

}  // namespace

std::string shell_word(std::string_view word) {
  if (word.find('\0') != std::string_view::npos) throw UsageError("an argument holds a zero byte");
  if (is_spelled(word, "_-./:,@+")) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string shell_command(const Words& words) {
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + shell_word(word);
  return command;
}

std::string login_shell_command(std::string_view text) {
  constexpr std::size_t kLongestWord = 900;
  std::string command = "/bin/sh -c 'eval \"$(printf %b \"$@\")\"' sh";
  std::string word;
  const auto end_word = [&] {
    command.append(" '").append(word).append("'");
    word.clear();
  };
  for (const char c : text) {
    if (is_spelled({&c, 1}, " _-./:,@+="))
      word += c;
    else
      word += fmt::format("\\0{:03o}", static_cast<unsigned char>(c));
    if (word.size() >= kLongestWord) end_word();
  }
  end_word();
  return command;
}

// A view without data as long as the mark has not come.
std::string_view AnswerStream::operator()(std::string_view piece) {
  if (!waits_) return piece;
  held_ += piece;
  const std::size_t mark = held_.find(fmt::format("{}\n", kAnswerMark));
  if (mark == std::string::npos) return {};
  waits_ = false;
  return std::string_view(held_).substr(mark + kAnswerMark.size() + 1);
}

std::string ResumeLine::operator()(std::string_view piece) {
  static const std::string kGoOn = fmt::format("{:<14}trainer train --resume ", "go on with");
  std::string text;
  for (const char c : piece) {
    if (passes_) {
      text += c;
      passes_ = c != '\n';
      continue;
    }
    held_ += c;
    if (held_.starts_with(kGoOn) ? c != '\n' : kGoOn.starts_with(held_)) continue;
    text += held_.starts_with(kGoOn) && !folder_.empty() ? fmt::format("{}{}\n", kGoOn, folder_) : held_;
    passes_ = c != '\n';
    held_.clear();
  }
  return text;
}

std::string first_line(const std::string& output) {
  return output.substr(0, output.find('\n'));
}

void notice(const std::string& line) {
  fmt::print(stderr, "{}\n", line);
}

fs::path control_folder(const fs::path& runtime_folder) {
  const auto can_make = [](const fs::path& folder) {
    return ::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST;
  };
  fs::path folder = runtime_folder / "mnist-trainer";
  const std::string& path = folder.native();
  if (!path.starts_with('/') || path.size() > kLongestFolder || !is_spelled(path, "/._-") ||
      !can_make(folder)) {
    folder = fmt::format("/tmp/mnist-trainer-{}", ::geteuid());
    (void)can_make(folder);
  }
  require_own(folder);
  return folder;
}

std::string without_tilde(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? home + path.substr(1) : path;
}

std::string place_of(const Target& target) {
  return target.username.empty() ? target.address : target.username + "@" + target.address;
}

Words ssh_words(const Target& target, const fs::path& control_folder) {
  Words words{"ssh", "-T"};
  if (!target.ssh_config.empty()) words.insert(words.end(), {"-F", without_tilde(target.ssh_config)});
  const std::string control_path = (control_folder / ("ssh-" + connection_name(target))).string();
  // The connection is for commands alone: it runs nothing else and takes no port, display or agent of the user.
  for (const std::string& option :
       Words{"BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3",
             "LogLevel=INFO", "RemoteCommand=none", "ClearAllForwardings=yes", "ExitOnForwardFailure=no",
             "ForwardX11=no", "ForwardAgent=no", "PermitLocalCommand=no", "ControlMaster=auto",
             "ControlPath=" + control_path, "ControlPersist=60"})
    words.insert(words.end(), {"-o", option});
  if (!target.identity_file.empty())
    words.insert(words.end(),
                 {"-o", "IdentitiesOnly=yes", "-i", without_tokens(without_tilde(target.identity_file))});
  if (target.port != 0) words.insert(words.end(), {"-p", std::to_string(target.port)});
  words.insert(words.end(), {"--", place_of(target)});
  return words;
}

Connection::Connection(Target target, const fs::path& runtime_folder) : target_(std::move(target)) {
  if (target_.is_remote()) ssh_ = ssh_words(target_, control_folder(runtime_folder));
}

Words Connection::shell(const std::string& text) const {
  if (ssh_.empty()) return {"/bin/sh", "-c", text};
  Words words = ssh_;
  words.push_back(login_shell_command(fmt::format("echo {0}; echo {0} >&2; {1}", kAnswerMark, text)));
  return words;
}

Words Connection::words(const Words& words, bool quiet) const {
  if (ssh_.empty()) return words;
  Words all = shell(shell_command(words));
  if (quiet) all.insert(all.begin() + 1, {"-o", "LogLevel=QUIET"});
  return all;
}

Words Connection::piped_words(const Words& first, const Words& second) const {
  return shell(shell_command(first) + " | " + shell_command(second));
}

ProcessOutput Connection::answer(ProcessOutput output) const {
  if (!is_marked()) return output;
  bool answered = false;
  for (std::string* text : {&output.out, &output.err}) {
    AnswerStream stream(true);
    const std::string_view rest = stream(*text);
    if (rest.data() == nullptr) continue;
    answered = true;
    *text = std::string(rest);
  }
  if (!answered && output.code != kSshFailed) output.code = kTurnedAway;
  return output;
}

PipeOutput Connection::feed(const Words& source, const Words& words) const {
  PipeOutput output = capture_pipe(source, this->words(words));
  output.to = answer(std::move(output.to));
  return output;
}

ProcessOutput Connection::capture(const Words& words) const {
  try {
    return answer(capture_process(this->words(words)));
  } catch (const ProcessError& error) {
    if (target_.is_remote()) throw;
    return {kProgramNotFound, "", error.what()};
  }
}

ProcessOutput Connection::require(const Words& words) const {
  ProcessOutput output = capture(words);
  if (output.code != 0) fail(output);
  return output;
}

void Connection::fail(const ProcessOutput& answer) const {
  throw TargetError(target_, explain(answer));
}

}  // namespace trainer
