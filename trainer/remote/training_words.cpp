#include "trainer/remote/training_words.hpp"

#include <charconv>
#include <filesystem>

#include "trainer/train/training_run.hpp"

namespace trainer {

namespace {

struct OptionPlace {
  std::size_t word;    // that holds the value
  std::size_t before;  // characters of it in front of the value: "--name="
};

std::optional<OptionPlace> find_option(const std::vector<std::string>& arguments, const std::string& name) {
  std::optional<OptionPlace> place;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with(name + "=")) place = {i, name.size() + 1};
    if (arguments[i] == name && i + 1 < arguments.size()) place = {i + 1, 0};
  }
  return place;
}

}  // namespace

bool has_option(const std::vector<std::string>& arguments, const std::string& name) {
  for (const std::string& argument : arguments)
    if (argument == name || argument.starts_with(name + "=")) return true;
  return false;
}

std::optional<std::string> option_value(const std::vector<std::string>& arguments, const std::string& name) {
  const std::optional<OptionPlace> place = find_option(arguments, name);
  if (!place) return std::nullopt;
  return arguments[place->word].substr(place->before);
}

void replace_option(std::vector<std::string>& arguments, const std::string& name, const std::string& value) {
  if (const std::optional<OptionPlace> place = find_option(arguments, name))
    arguments[place->word].replace(place->before, std::string::npos, value);
}

TrainingName training_name(const std::vector<std::string>& arguments) {
  TrainingName name{RunOptions{}.model, TrainSettings{}.seed};
  if (const auto model = option_value(arguments, "--model"))
    name.model = std::filesystem::path(*model).stem().string();
  if (const auto seed = option_value(arguments, "--seed"))
    std::from_chars(seed->data(), seed->data() + seed->size(), name.seed);
  return name;
}

}  // namespace trainer
