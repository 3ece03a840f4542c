// Which values belong to which option. A choice that the parser checks, {auto,digit,picture}, is read from
// its text; the rest go by their name.
#include "trainer/documents/completion.hpp"

#include <algorithm>
#include <array>

namespace trainer {

namespace {

using Kind = Completions::Kind;

struct Row {
  const char* name;
  Completions completions;
};

std::vector<std::string> choices_in(const std::string& value) {
  const std::size_t begin = value.find('{');
  const std::size_t end = value.find('}');
  std::vector<std::string> words;
  if (begin == std::string::npos || end == std::string::npos) return words;
  std::string word;
  for (const char letter : value.substr(begin + 1, end - begin - 1) + ",") {
    if (letter != ',') {
      word += letter;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

const std::array<Row, 17> kRows{{
    {"--device", {Kind::words, {"auto", "cpu", "cuda"}}},
    {"--precision", {Kind::words, {"fp32", "tf32", "fp16", "bf16"}}},
    {"--engine", {Kind::words, {"auto", "libraries"}}},
    {"--optimizer", {Kind::words, {"sgd", "adam", "adamw", "adadelta"}}},
    {"--data", {Kind::folders, {}}},
    {"--out", {Kind::files, {}}},
    {"--config", {Kind::files, {}}},
    {"--profile", {Kind::files, {}}},
    {"--compare", {Kind::files, {}}},
    {"--identity-file", {Kind::files, {}}},
    {"--resume", {Kind::runs, {}}},
    {"--target", {Kind::targets, {}}},
    {"RUN", {Kind::runs, {}}},
    {"RUN_OR_FILE", {Kind::runs, {}}},
    {"IMAGE", {Kind::files, {}}},
    {"RECORD", {Kind::files, {}}},
    {"NAME", {Kind::targets, {}}},
}};

}  // namespace

Completions completions_of(const CommandNode& command, const CommandOption& option,
                           const std::vector<std::string>& models) {
  if (option.value.empty()) return {};
  if (std::vector<std::string> words = choices_in(option.value); !words.empty())
    return {Kind::words, std::move(words)};
  const bool names_models = command.path.back() == "models";
  for (const std::string& name : option.names) {
    if (name == "--model" || (names_models && name == "NAME")) return {Kind::models, models};
    const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return name == r.name; });
    if (row != kRows.end()) return row->completions;
  }
  return {};
}

}  // namespace trainer
