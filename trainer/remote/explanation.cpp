// What ssh and docker say about a failure: the row of failures/*.yaml that matches, filled in with the values of a target, and
// the words of the program itself.
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <regex>
#include <sstream>

#include "models/words.hpp"
#include "trainer/remote/connection.hpp"

namespace trainer {

namespace {

bool is_of_ssh(FailureClass kind) {
  return kind == FailureClass::unreachable || kind == FailureClass::login;
}

// The lines that say something, without control characters, which a terminal would obey. docker's pointer to its help says nothing.
Words lines_of(const std::string& text) {
  static const std::regex kHelp("(Run|See) '(docker|podman) .*--help'.*|time=\".*level=warning.*");
  Words lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::ranges::replace_if(line, is_control, ' ');
    const std::size_t first = line.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    line = line.substr(first, line.find_last_not_of(' ') + 1 - first);
    if (line.size() > 4096 || !std::regex_match(line, kHelp)) lines.push_back(line);
  }
  return lines;
}

std::string joined_from(const Words& lines, std::size_t first) {
  constexpr std::size_t kLongest = 2000;
  const auto begin = lines.begin() + static_cast<std::ptrdiff_t>(first);
  return fmt::format("{}", fmt::join(begin, lines.end(), " ")).substr(0, kLongest);
}

// The words that a person would search for: the container engine's error to its end; else the last line that matches the row
// `key`; else the last line. All of it if the login was turned away.
std::string own_words(const ProcessOutput& output, std::string_view key) {
  const Words said = lines_of(output.err);
  if (output.code == kTurnedAway) return joined_from(lines_of(output.out + "\n" + output.err), 0);
  const Words& lines = said.empty() ? lines_of(output.out) : said;
  for (std::size_t i = lines.size(); output.code != kSshFailed && i-- > 0;)
    if (lines[i].find("Error response from daemon") != std::string::npos || lines[i].starts_with("Error: ") ||
        lines[i].starts_with("ERROR: "))
      return joined_from(lines, i);
  const auto matches = [&](const std::string& line) {
    const auto rows = explain(line).found;
    return std::ranges::any_of(rows, [&](const KnownFailure& row) {
      return key == "target-jump" ? is_of_ssh(row.kind) && row.key != key : row.key == key;
    });
  };
  const auto found = std::find_if(lines.rbegin(), lines.rend(), matches);
  if (found != lines.rend()) return joined_from({*found}, 0);
  return lines.empty() ? "" : joined_from({lines.back()}, 0);
}

// The first group of `pattern` in the beginning of `text`, or "". A longer text could overflow the stack.
std::string found_in(const std::string& text, const char* pattern) {
  std::smatch match;
  const std::string beginning = text.substr(0, 8192);
  return std::regex_search(beginning, match, std::regex(pattern)) ? match[1].str() : "";
}

// How ssh-keygen names the host whose key ssh refuses: "[vm.example.com]:2222", with the file that it stands in.
std::string key_host(const Target& target, const std::string& said) {
  std::string host = found_in(said, "(?:Host key for|host key is known for) (\\S+) (?:has changed|and you)");
  if (host.empty()) host = target.address;
  if (host.starts_with('[')) host = "\"" + host + "\"";
  const std::string file = found_in(said, "Offending [^\n]*key in ([^\n]+):[0-9]+");
  return file.empty() ? host : fmt::format("{} -f {}", host, shell_word(file));
}

// The values of a row's words in braces.
FailureWords failure_words(const Target& target, const std::string& said = "") {
  std::string ssh = "ssh " + place_of(target);
  if (target.port != 0) ssh.insert(3, fmt::format(" -p {}", target.port));
  const std::string key = without_tilde(target.identity_file);
  if (!key.empty()) ssh.insert(3, " -i " + shell_word(key));
  if (!target.ssh_config.empty()) ssh.insert(3, " -F " + shell_word(without_tilde(target.ssh_config)));
  const std::string key_file = found_in(said, "(?:Permissions \\d+ for ['\"]|Load key \")([^'\"]+)['\"]");
  return {{"host", target.is_remote() ? target.address : "this machine"},
          {"user", target.is_remote() && !target.username.empty() ? target.username : "you"},
          {"ssh", ssh},
          {"key", shell_word(key_file.empty() ? key : key_file)},
          {"key_host", key_host(target, said)},
          {"image", target.image},
          {"name", target.name},
          {"there", target.is_remote() ? "there: " : ""}};
}

// The row that matches the output, or null. A jump host's own trouble comes with that of the connection through it.
const KnownFailure* row_of(const ProcessOutput& output, bool is_ssh) {
  const std::string said = output.err + "\n" + output.out;
  const KnownFailure* found = nullptr;
  for (const KnownFailure& row : explain(said).found)
    if (is_of_ssh(row.kind) == is_ssh && (found == nullptr || row.key == "target-jump"))
      found = &known_failure(row.key);
  if (found != nullptr) return found;
  if (is_ssh) return &known_failure(output.code == kTurnedAway ? "target-turned-away" : "target-lost");
  const bool is_from_container_engine =
      said.find("Error response from daemon") != said.npos || said.find("OCI runtime") != said.npos;
  return output.code == kProgramNotFound && !is_from_container_engine ? &known_failure("docker-absent")
                                                                      : nullptr;
}

// What ssh would do: the values of `key` in its configuration for the target.
Words ssh_settings(Words ssh, std::string_view key) {
  ssh.insert(ssh.begin() + 1, "-G");
  Words values;
  std::istringstream lines(capture_process(ssh).out);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(fmt::format("{} ", key))) values.push_back(line.substr(key.size() + 1));
  return values;
}

// Why ssh cannot use one of the private keys that it would try, in the words of ssh-keygen; "" if it can, or the
// agent can.
std::string key_trouble(const Words& key_files) {
  for (const std::string& named : key_files) {
    const std::string file = without_tilde(named);
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) continue;
    if (file.ends_with(".pub")) return fmt::format("Load key \"{}\": this is a public key", file);
    const ProcessOutput read = capture_process({"ssh-keygen", "-y", "-P", "", "-f", file});
    if (read.code != 0 && capture_process({"ssh-add", "-T", file + ".pub"}).code != 0) return read.err;
  }
  return "";
}

}  // namespace

Failure target_failure(const Target& target, std::string_view key) {
  return failure_of(known_failure(key), failure_words(target));
}

Failure explain_failure(const Target& target, const ProcessOutput& output) {
  const bool is_ssh = target.is_remote() && (output.code == kSshFailed || output.code == kTurnedAway);
  const KnownFailure* row = row_of(output, is_ssh);
  const std::string words = own_words(output, row == nullptr ? "" : row->key);
  if (row == nullptr)
    return {.cause = words.empty() ? fmt::format("a command failed with status {}", output.code) : words};
  Failure failure = failure_of(*row, failure_words(target, output.err));
  if (!words.empty()) failure.cause += fmt::format(" ({})", words);
  return failure;
}

Failure Connection::explain(const ProcessOutput& answer) const {
  Target target = target_;
  ProcessOutput said = answer;
  Failure failure = explain_failure(target, said);
  if (ssh_.empty() || failure.key.empty()) return failure;
  if (failure.key == "target-key-refused") {
    said.err = key_trouble(ssh_settings(ssh_, "identityfile"));
    if (explain_failure(target, said).key == "target-lost") said = answer;
  }
  if (target.username.empty())
    for (const std::string& user : ssh_settings(ssh_, "user")) target.username = user;
  if (failure.key == "docker-rights") {  // the sessions of the shared connection keep the groups of its login
    Words close = ssh_;
    close.insert(close.begin() + 1, {"-O", "exit"});
    (void)capture_process(close);
  }
  return explain_failure(target, said);
}

}  // namespace trainer
