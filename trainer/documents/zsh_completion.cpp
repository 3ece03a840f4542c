// A script for zsh: one function a command, which hands the words to _arguments.
#include <fmt/format.h>

#include "trainer/documents/completion.hpp"

namespace trainer {

namespace {

using Kind = Completions::Kind;

const char* const kZshHead = R"(#compdef trainer
# zsh completion for trainer, written from the program's own command line

_trainer_names_of_runs() {
  local -a names
  names=(last ${TRAINER_RUNS:-runs}/*/run.json(N:h:t))
  _alternative 'runs:run:compadd -a names' 'files:file:_files'
}

_trainer_names_of_targets() {
  local -a names
  names=(local docker targets/*.compute(N:t:r))
  compadd -a names
}

)";

// Within '...[here]': quotes end the word, brackets and colons mean something to _arguments.
std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '\'') {
      out += "'\\''";
    } else {
      if (letter == '[' || letter == ']' || letter == ':' || letter == '\\') out += '\\';
      out += letter;
    }
  }
  return out;
}

std::string action(const Completions& completions) {
  switch (completions.kind) {
    case Kind::none:
      return " ";
    case Kind::words:
      return fmt::format("({})", fmt::join(completions.words, " "));
    case Kind::models:
      return "_trainer_names_of_models";
    case Kind::runs:
      return "_trainer_names_of_runs";
    case Kind::targets:
      return "_trainer_names_of_targets";
    case Kind::files:
      return "_files";
    case Kind::folders:
      return "_files -/";
  }
  return " ";
}

std::string argument(const CommandNode& command, const CommandOption& option,
                     const std::vector<std::string>& models) {
  const std::string then = action(completions_of(command, option, models));
  if (option.positional) {
    return fmt::format(" \\\n    '{}{}:{}'", option.repeated ? "*:" : (option.required ? ":" : "::"),
                       zsh_escaped(option.names.front()), then);
  }
  const std::string help = zsh_escaped(option.description);
  std::string rows;
  for (const std::string& name : option.names) {
    const std::string takes =
        option.value.empty() ? "" : fmt::format(":{}:{}", zsh_escaped(option.value), then);
    const char* equals = option.value.empty() || !name.starts_with("--") ? "" : "=";
    rows += fmt::format(" \\\n    '{}{}[{}]{}'", name, equals, help, takes);
  }
  return rows;
}

std::string children_of(const CommandNode& command) {
  std::string rows;
  std::string cases;
  for (const CommandNode& child : command.children) {
    rows += fmt::format("        '{}:{}'\n", child.path.back(), zsh_escaped(child.description));
    cases += fmt::format("        {}) _{} ;;\n", child.path.back(), child.joined("_"));
  }
  return fmt::format(
      "  case $state in\n    command)\n      local -a commands\n      commands=(\n{}      )\n"
      "      _describe command commands ;;\n    rest)\n      case $words[1] in\n{}      esac ;;\n  esac\n",
      rows, cases);
}

std::string functions(const CommandNode& command, const std::vector<std::string>& models) {
  std::string text;
  for (const CommandNode& child : command.children) text += functions(child, models);
  text += fmt::format("_{}() {{\n", command.joined("_"));
  std::string arguments;
  for (const CommandOption& option : command.options) arguments += argument(command, option, models);
  if (command.children.empty()) {
    text += fmt::format("  _arguments{}\n", arguments);
  } else {
    text += "  local curcontext=$curcontext state line\n";
    text += fmt::format("  _arguments -C{} \\\n    '1: :->command' \\\n    '*:: :->rest'\n", arguments);
    text += children_of(command);
  }
  return text + "}\n\n";
}

}  // namespace

std::string zsh_completion(const CommandNode& root, const std::vector<std::string>& models) {
  const std::string networks = fmt::format(
      "_trainer_names_of_models() {{\n  _alternative 'models:network:({})' 'files:file:_files'\n}}\n\n",
      fmt::join(models, " "));
  return kZshHead + networks + functions(root, models) + "_trainer \"$@\"\n";
}

}  // namespace trainer
