// How parameters start, from YAML: a word, or a word with its number.
#include <fmt/format.h>

#include "models/recipe.hpp"

namespace trainer {

namespace {

// In the order of the enumeration.
const Words& initializer_words() {
  static const Words words{"zeros",          "constant", "uniform_fan_in",  "xavier_uniform",
                           "glorot_uniform", "normal",   "truncated_normal"};
  return words;
}

}  // namespace

Initialization read_initialization(const YamlNode& node, const std::string& what) {
  const YamlTagged tagged = read_tagged(node, what, initializer_words());
  Initialization start;
  start.kind = static_cast<Initializer>(tagged.index);
  const bool has_number = start.kind == Initializer::constant || start.kind == Initializer::normal ||
                          start.kind == Initializer::truncated_normal;
  if (has_number != (tagged.arguments != nullptr)) {
    fail(tagged.place,
         has_number ? fmt::format("{}: {} needs a number, like {{{}: 0.1}}", what, tagged.word, tagged.word)
                    : fmt::format("{}: {} has no settings", what, tagged.word));
  }
  if (!has_number) return start;
  const std::string name = fmt::format("{}: {}", what, tagged.word);
  if (start.kind == Initializer::constant) {
    start.value = read_number(*tagged.arguments, name, {-1e6, 1e6});
  } else {
    start.deviation = read_number(*tagged.arguments, name, {1e-30, 1e6});
  }
  return start;
}

const char* initializer_word(Initializer kind) {
  return initializer_words().at(static_cast<std::size_t>(kind)).c_str();
}

}  // namespace trainer
