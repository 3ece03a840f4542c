// Targets to text. Values are quoted only where YAML would take them for something else.
#include <algorithm>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/remote/target_files.hpp"

namespace trainer {

namespace {

// What YAML reads as it is, between the brackets of a list too.
bool is_plain(const std::string& text) {
  const auto is_harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/+=@%").find(c) != std::string_view::npos;
  };
  const bool first = !text.empty() && std::string_view("@%=").find(text[0]) == std::string_view::npos &&
                     (text[0] != '-' || text.starts_with("--"));
  const bool null = text == "null" || text == "Null" || text == "NULL";
  return first && !null && !text.starts_with("---") && std::ranges::all_of(text, is_harmless);
}

std::string in_double_quotes(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (is_control(c)) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string word(const std::string& text) {
  return is_plain(text) ? text : in_double_quotes(text);
}

std::string line(const std::string& key, const std::string& value, const std::string& comment = "") {
  constexpr int kCommentColumn = 30;
  const std::string pair = key + ": " + value;
  return comment.empty() ? pair + "\n" : fmt::format("{:<{}}# {}\n", pair, kCommentColumn, comment);
}

}  // namespace

std::string compute_text(const Target& target) {
  std::string text = line("type", target_type_word(target.type), "local | localdocker | remotedocker");
  if (target.is_remote()) {
    // An IPv6 address has colons, which end a key elsewhere.
    text += line("address", word(target.address)) + line("username", word(target.username));
    text += line("port", std::to_string(target.port));
    if (!target.identity_file.empty()) text += line("identityFile", word(target.identity_file));
    if (!target.ssh_config.empty()) text += line("sshConfig", word(target.ssh_config));
  }
  if (target.uses_docker()) {
    // A colon before anything but a space is no key's end; fault_of_image leaves nothing else to be quoted.
    text += line("baseDockerImage", target.image);
    const bool indices = target.gpus != "all" && target.gpus != "none";
    text += line("gpus", indices ? in_double_quotes(target.gpus) : target.gpus,
                 "all, none (the CPU) or indices: \"0,1\"");
  }
  return text;
}

std::string runconfig_text(const RunConfig& config) {
  std::string arguments;
  for (const std::string& argument : config.arguments)
    arguments += (arguments.empty() ? "" : ", ") + word(argument);
  std::string variables;
  for (const EnvironmentVariable& variable : config.variables)
    variables += fmt::format("{}{}: {}", variables.empty() ? "" : ", ", variable.name,
                             in_double_quotes(variable.value));
  return line("Target", word(config.target)) + line("ArgumentVector", "[" + arguments + "]") +
         line("EnvironmentVariables", "{" + variables + "}") +
         line("PrepareEnvironment", config.prepare ? "true" : "false",
              "prepare first when the image is missing") +
         line("TrackedRun", config.tracked ? "true" : "false", "bring the run's folder back");
}

}  // namespace trainer
