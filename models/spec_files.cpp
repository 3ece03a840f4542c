// Specs on disk: one YAML file a network, found by name in a folder or by path.
#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <system_error>

#include "models/spec.hpp"
#include "models/words.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

// The networks of a folder, by name, sorted.
Words names_in(const fs::path& folder) {
  std::error_code error;
  Words names;
  for (fs::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    if (file->path().extension() == ".yaml") names.push_back(file->path().stem().string());
  }
  if (error) {
    throw SpecError(
        fmt::format("{}: the folder of networks cannot be read: {}", folder.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Spec read_spec(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) throw SpecError(fmt::format("{}: no such file", file.string()));
  if (!fs::is_regular_file(status)) throw SpecError(fmt::format("{}: not a file", file.string()));
  std::ifstream stream(file, std::ios::binary);
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
  if (name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".yaml")) {
    return read_spec(name_or_path);
  }
  const Words names = names_in(folder);
  if (std::find(names.begin(), names.end(), name_or_path) == names.end()) {
    throw SpecError(unknown_word("network", name_or_path, names) + ", or the path of a .yaml file");
  }
  return read_spec(folder / (name_or_path + ".yaml"));
}

std::vector<Spec> all_specs(const fs::path& folder) {
  std::vector<Spec> specs;
  for (const std::string& name : names_in(folder)) specs.push_back(read_spec(folder / (name + ".yaml")));
  return specs;
}

}  // namespace trainer
