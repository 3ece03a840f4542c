// The arguments of a training as words, looked at before they travel: nothing is parsed that only the target
// needs to understand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trainer {

// Whether `--name` or `--name=value` is among the arguments.
[[nodiscard]] bool has_option(const std::vector<std::string>& arguments, const std::string& name);

// Of the last such option, which is the one that counts; nothing where there is none.
[[nodiscard]] std::optional<std::string> option_value(const std::vector<std::string>& arguments,
                                                      const std::string& name);
void replace_option(std::vector<std::string>& arguments, const std::string& name, const std::string& value);

// --model and --seed, or what the trainings take without them.
struct TrainingName {
  std::string model;
  std::uint64_t seed = 1;
};
[[nodiscard]] TrainingName training_name(const std::vector<std::string>& arguments);

}  // namespace trainer
