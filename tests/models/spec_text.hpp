// Small networks as YAML for tests: a whole file around the lines that a test is about.
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "models/plan.hpp"
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

// The error of a recipe whose line 8 is this.
inline std::string recipe_error(const std::string& line) {
  return error_of(
      spec_text(kPlainLayers, "  optimizer: sgd\n  rate: 0.1\n  batch: 8\n  " + line + "\n  epochs: 1\n"));
}

inline const PlanInput kMnist{{28, 28, 1}, 10, 64};

inline Spec shipped(const std::string& name) {
  return find_spec(name, TRAINER_SOURCE_DIR "/models");
}

inline const char* const kShipped[] = {"accurate",
                                       "accurate-small",
                                       "cntk-convnet",
                                       "cntk-sample",
                                       "lenet",
                                       "pytorch-example",
                                       "quick",
                                       "sprint",
                                       "sprint-995",
                                       "sprint-lean",
                                       "sprint-lean-views",
                                       "tf-convolutional",
                                       "tf-sample"};

}  // namespace trainer::test
