// Small networks as YAML for tests: a whole file around the lines that a test is about.
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "models/spec.hpp"

namespace trainer::test {

inline const std::string kPlainLayers = "  - dense: {out: classes}\n";
inline const std::string kPlainRecipe = "  optimizer: sgd\n  rate: 0.1\n  batch: 8\n  epochs: 1\n";

// Layers stand from line 3 on, the recipe's lines right behind them and `recipe:`.
inline std::string spec_text(const std::string& layers, const std::string& recipe = kPlainRecipe) {
  return "name: test\nlayers:\n" + layers + "recipe:\n" + recipe;
}

inline Spec spec_with_layers(const std::string& layers) {
  return parse_spec(spec_text(layers), "net.yaml");
}

inline Recipe recipe_with(const std::string& lines) {
  return parse_spec(spec_text(kPlainLayers, lines), "net.yaml").recipe;
}

// What parse_spec says against `text`; "" when it has nothing to say.
inline std::string error_of(const std::string& text) {
  try {
    parse_spec(text, "net.yaml");
  } catch (const SpecError& error) {
    return error.what();
  }
  return "";
}

inline Spec shipped(const std::string& name) {
  return find_spec(name, TRAINER_SOURCE_DIR "/models");
}

inline const char* const kShipped[] = {"cntk-convnet", "cntk-sample", "lenet",       "pytorch-example",
                                       "quick",        "sprint",      "sprint-lean", "tf-convolutional",
                                       "tf-sample"};

}  // namespace trainer::test
