// ssh's command lines.
#include "trainer/remote/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "trainer/remote/shell_words.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

// sun_path has 108 bytes; ssh adds 17 characters while it makes the socket, and the name has 21.
constexpr std::size_t kLongestFolder = 64;

bool is_usable(const std::string& folder) {
  const auto is_harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-").find(c) != std::string_view::npos;
  };
  return folder.starts_with('/') && folder.size() <= kLongestFolder &&
         std::ranges::all_of(folder, is_harmless);
}

// Whoever may write there could answer in the target's place.
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

// Targets that differ in anything that ssh is told never share a connection.
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

fs::path control_folder(const fs::path& runtime_folder) {
  fs::path folder = runtime_folder / "mnist-trainer";
  if (runtime_folder.empty() || !is_usable(folder.string()))
    folder = fmt::format("/tmp/mnist-trainer-{}", ::geteuid());
  require_own(folder);
  return folder;
}

std::vector<std::string> ssh_words(const Target& target, const fs::path& control_folder) {
  std::vector<std::string> words{"ssh", "-T"};
  if (!target.ssh_config.empty()) words.insert(words.end(), {"-F", target.ssh_config});
  const std::string control_path = (control_folder / ("ssh-" + connection_name(target))).string();
  for (const std::string& option :
       {std::string("BatchMode=yes"), std::string("ConnectTimeout=10"), std::string("ServerAliveInterval=5"),
        std::string("ServerAliveCountMax=3"), std::string("ControlMaster=auto"),
        "ControlPath=" + control_path, std::string("ControlPersist=60")})
    words.insert(words.end(), {"-o", option});
  if (!target.identity_file.empty())
    words.insert(words.end(), {"-o", "IdentitiesOnly=yes", "-i", without_tokens(target.identity_file)});
  words.insert(words.end(),
               {"-p", std::to_string(target.port), "--", target.username + "@" + target.address});
  return words;
}

Connection::Connection(Target target, const fs::path& runtime_folder) : target_(std::move(target)) {
  if (target_.is_remote()) ssh_ = ssh_words(target_, control_folder(runtime_folder));
}

std::vector<std::string> Connection::words(const std::vector<std::string>& words) const {
  if (ssh_.empty()) return words;
  std::vector<std::string> all = ssh_;
  all.push_back(shell_command(words));
  return all;
}

std::vector<std::string> Connection::quiet_words(const std::vector<std::string>& words) const {
  std::vector<std::string> all = this->words(words);
  if (!ssh_.empty()) all.insert(all.begin() + 1, {"-o", "LogLevel=QUIET"});
  return all;
}

std::vector<std::string> Connection::piped_words(const std::vector<std::string>& first,
                                                 const std::vector<std::string>& second) const {
  const std::string text = shell_command(first) + " | " + shell_command(second);
  if (ssh_.empty()) return {"/bin/sh", "-c", text};
  std::vector<std::string> all = ssh_;
  all.push_back(text);
  return all;
}

ProcessOutput Connection::capture(const std::vector<std::string>& words) const {
  try {
    return capture_process(this->words(words));
  } catch (const ProcessError& error) {
    if (target_.is_remote()) throw;
    return {kProgramNotFound, "", error.what()};
  }
}

void Connection::close() const {
  if (ssh_.empty()) return;
  std::vector<std::string> words = ssh_;
  words.insert(words.end() - 2, {"-O", "exit"});
  (void)capture_process(words);
}

}  // namespace trainer
