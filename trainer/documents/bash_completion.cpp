// A script for bash-completion: it walks the words to find the command, then offers that command's options,
// or the values that the word before, or the place, takes.
#include <fmt/format.h>

#include "trainer/documents/completion.hpp"

namespace trainer {

namespace {

using Kind = Completions::Kind;

const char* const kBashHead = R"sh(# bash completion for trainer, written from the program's own command line

_trainer_runs() {
  local run
  printf 'last\n'
  for run in "${TRAINER_RUNS:-runs}"/*/run.json; do
    [[ ! -e $run ]] || { run=${run%/run.json} && printf '%s\n' "${run##*/}"; }
  done
}

_trainer_targets() {
  local target
  printf 'local\ndocker\n'
  for target in targets/*.compute; do
    [[ ! -e $target ]] || { target=${target##*/} && printf '%s\n' "${target%.compute}"; }
  done
}

# Offers what of the words, one a line, begins as typed; each as one word of the shell.
_trainer_offer() {
  local word
  while IFS= read -r word; do
    [[ -z $word || $word != "$current"* ]] || COMPREPLY+=("$(printf '%q' "$word")")
  done
}

# _trainer_files -f|-d: offers files, or folders.
_trainer_files() {
  local word
  compopt -o filenames 2>/dev/null
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "$1" -- "$current")
}

)sh";

const char* const kTail = R"sh(
_trainer() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} path=trainer index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; ++index)); do
    if _trainer_commands "$path" | grep -Fqx -e "${COMP_WORDS[index]}"; then path+=" ${COMP_WORDS[index]}"; fi
  done
  if _trainer_values "$path" "$previous"; then
    return
  elif [[ $current == -* ]]; then
    _trainer_offer < <(_trainer_options "$path")
  elif [[ -n $(_trainer_commands "$path") ]]; then
    _trainer_offer < <(_trainer_commands "$path")
  else
    _trainer_values "$path" ""
  fi
}

complete -F _trainer trainer
)sh";

// The command of the shell that prints the words, one a line.
std::string printed(const std::vector<std::string>& words) {
  return fmt::format("printf '%s\\n' {}", fmt::join(words, " "));
}

// The commands of the shell that offer such values.
std::string offer(const Completions& completions) {
  switch (completions.kind) {
    case Kind::none:
      return ":";
    case Kind::words:
      return fmt::format("_trainer_offer < <({})", printed(completions.words));
    case Kind::models:
      return fmt::format("_trainer_offer < <({}) && _trainer_files -f", printed(completions.words));
    case Kind::runs:
      return "_trainer_offer < <(_trainer_runs) && _trainer_files -f";
    case Kind::targets:
      return "_trainer_offer < <(_trainer_targets)";
    case Kind::files:
      return "_trainer_files -f";
    case Kind::folders:
      return "_trainer_files -d";
  }
  return ":";
}

struct Tables {
  std::string commands, options, values;  // rows of a case statement
};

void add_rows(const CommandNode& command, const std::vector<std::string>& models, Tables* tables) {
  const std::string path = command.joined(" ");
  std::vector<std::string> names;
  for (const CommandNode& child : command.children) names.push_back(child.path.back());
  if (!names.empty()) tables->commands += fmt::format("    '{}') {} ;;\n", path, printed(names));
  names.clear();
  std::string places;
  for (const CommandOption& option : command.options) {
    const std::string values = offer(completions_of(command, option, models));
    if (option.positional) {
      if (places.empty() || values != ":") places = values;
      continue;
    }
    names.insert(names.end(), option.names.begin(), option.names.end());
    if (option.value.empty()) continue;
    std::string patterns;
    for (const std::string& name : option.names) {
      patterns += fmt::format("{}'{} {}'", patterns.empty() ? "" : " | ", path, name);
    }
    tables->values += fmt::format("    {}) {} ;;\n", patterns, values);
  }
  tables->options += fmt::format("    '{}') {} ;;\n", path, printed(names));
  if (!places.empty()) tables->values += fmt::format("    '{} ') {} ;;\n", path, places);
  for (const CommandNode& child : command.children) add_rows(child, models, tables);
}

}  // namespace

std::string bash_completion(const CommandNode& root, const std::vector<std::string>& models) {
  Tables tables;
  add_rows(root, models, &tables);
  return std::string(kBashHead) +
         fmt::format("_trainer_commands() {{\n  case $1 in\n{}  esac\n}}\n\n", tables.commands) +
         fmt::format("_trainer_options() {{\n  case $1 in\n{}  esac\n}}\n\n", tables.options) +
         "# _trainer_values PATH OPTION: offers the option's values, or the place's; fails where it takes "
         "none.\n" +
         fmt::format(
             "_trainer_values() {{\n  case \"$1 $2\" in\n{}    *) return 1 ;;\n  esac\n  return 0\n}}\n",
             tables.values) +
         kTail;
}

}  // namespace trainer
