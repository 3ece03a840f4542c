// A network's file: it is found by name in a folder or by path, and its name and descriptions are checked. layers.cpp reads
// its layers, recipe.cpp its recipe.
#include "models/spec.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <new>
#include <system_error>

#include "models/layers.hpp"
#include "models/recipe.hpp"
#include "models/words.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostName = 64;
constexpr std::size_t kMostText = 80;  // fits on one line of a terminal

void check_name(const std::string& name, const Place& place) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  };
  const bool plain = !name.empty() && name.size() <= kMostName && name.front() != '.' &&
                     name.front() != '-' && std::all_of(name.begin(), name.end(), is_plain);
  if (plain) return;
  fail(place,
       fmt::format("name must be 1 to {} letters, digits, '.', '_' or '-', a letter or digit first, not {}",
                   kMostName, in_quotes(name)));
}

void read_line(const MapReader& map, const char* key, std::string& value) {
  map.read(key, value);
  if (value.size() > kMostText) {
    fail(map.require(key).place,
         fmt::format("{} has {} characters; at most {} fit its line", key, value.size(), kMostText));
  }
}

// The sorted names of the networks in a folder.
Words names_in(const fs::path& folder) {
  std::error_code error;
  Words names;
  for (fs::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    if (file->path().extension() == ".yaml") names.push_back(file->path().stem().string());
  }
  if (error == std::errc::not_enough_memory) throw std::bad_alloc();
  if (error) {
    throw SpecError(
        fmt::format("{}: the folder of networks cannot be read: {}", folder.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string Place::text() const {
  return fmt::format("{}:{}:{}", file, line, column);
}

Spec parse_spec(const std::string& text, const std::string& file) {
  const YamlNode root = parse_yaml(text, file);
  const MapReader map(root, "a network", {"name", "about", "source", "parameters", "layers", "recipe"});
  Spec spec;
  spec.text = text;
  spec.name = read_text(map.require("name"), "name");
  check_name(spec.name, map.require("name").place);
  read_line(map, "about", spec.about);
  read_line(map, "source", spec.source);
  if (const YamlNode* node = map.find("parameters"))
    spec.parameters = read_whole(*node, "parameters", {1, std::numeric_limits<std::int32_t>::max()});
  spec.layers = read_layers(map.require("layers"));
  spec.recipe = read_recipe(map.require("recipe"));
  return spec;
}

Spec read_spec(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) throw SpecError(fmt::format("{}: no such file", file.string()));
  if (!fs::is_regular_file(status)) throw SpecError(fmt::format("{}: not a file", file.string()));
  std::ifstream stream(file, std::ios::binary);
  if (!stream && errno == ENOMEM) throw std::bad_alloc();
  if (!stream) throw SpecError(fmt::format("{}: cannot be opened for reading", file.string()));
  std::string text(kMostSpecBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) throw SpecError(fmt::format("{}: reading failed", file.string()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMostSpecBytes) {
    throw SpecError(fmt::format("{}: {} bytes; a network's file has at most {}", file.string(),
                                fs::file_size(file, error), kMostSpecBytes));
  }
  return parse_spec(text, file.string());
}

Spec find_spec(const std::string& name_or_path, const fs::path& folder) {
  if (name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".yaml"))
    return read_spec(name_or_path);
  const Words names = names_in(folder);
  if (std::find(names.begin(), names.end(), name_or_path) == names.end())
    throw SpecError(unknown_word("network", name_or_path, names) + ", or the path of a .yaml file");
  return read_spec(folder / (name_or_path + ".yaml"));
}

std::vector<Spec> all_specs(const fs::path& folder) {
  std::vector<Spec> specs;
  for (const std::string& name : names_in(folder)) specs.push_back(read_spec(folder / (name + ".yaml")));
  return specs;
}

}  // namespace trainer
