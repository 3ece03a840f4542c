// Finds the four files of an IDX data set, by the names, spellings and prefixes listed in data/idx.hpp.
#include <array>
#include <fmt/ranges.h>
#include <string_view>
#include <system_error>
#include <vector>

#include "data/idx.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

// All names that one of the four files may have, best first.
Names spellings(const Names& stems, const Names& types) {
  Names names;
  for (const std::string& stem : stems) {
    for (const std::string& type : types) {
      for (const char* separator : {"-", "."}) {
        for (const char* ending : {"-ubyte", "-ubyte.gz"}) {
          names.push_back(fmt::format("{}{}{}{}", stem, separator, type, ending));
        }
      }
    }
  }
  return names;
}

struct FileKind {
  const char* what;
  Names names;
};

// The four files of a set.
std::array<FileKind, 4> file_kinds() {
  const Names images{"idx3", "idx4"};
  return {{{"training images", spellings({"train-images"}, images)},
           {"training labels", spellings({"train-labels"}, {"idx1"})},
           {"test images", spellings({"t10k-images", "test-images"}, images)},
           {"test labels", spellings({"t10k-labels", "test-labels"}, {"idx1"})}}};
}

struct Place {
  fs::path folder;
  std::string prefix;
};

Place find_place(const fs::path& path) {
  if (!fs::is_directory(path)) {
    return {path.has_parent_path() ? path.parent_path() : ".", path.filename().string() + "-"};
  }
  const std::set<std::string> prefixes = idx_prefixes(path);
  if (prefixes.empty() || prefixes.contains("")) return {path, ""};
  if (prefixes.size() == 1) return {path, *prefixes.begin()};
  Names choices;
  for (const std::string& prefix : prefixes) {
    choices.push_back((path / prefix.substr(0, prefix.size() - 1)).string());
  }
  refuse(path, "holds {} data sets; name one of them: {}", choices.size(), fmt::join(choices, ", "));
}

fs::path find_file(const Place& place, FileKind kind) {
  for (std::string& name : kind.names) {
    name.insert(0, place.prefix);
    fs::path path = place.folder / name;
    if (fs::exists(path) && !fs::is_directory(path)) return path;
  }
  refuse(place.folder, "no file of {}; looked for {}", kind.what, fmt::join(kind.names, ", "));
}

}  // namespace

std::set<std::string> idx_prefixes(const fs::path& folder) {
  const std::array<FileKind, 4> kinds = file_kinds();
  std::set<std::string> prefixes;
  std::error_code unreadable;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, unreadable)) {
    const std::string file = entry.path().filename().string();
    for (const FileKind& kind : kinds) {
      for (const std::string& name : kind.names) {
        if (!file.ends_with(name)) continue;
        const std::string prefix = file.substr(0, file.size() - name.size());
        if (prefix.empty() || prefix.ends_with('-')) prefixes.insert(prefix);
      }
    }
  }
  return prefixes;
}

IdxFiles find_idx_files(const fs::path& path) {
  const Place place = find_place(path);
  const auto [train_images, train_labels, test_images, test_labels] = file_kinds();
  return {find_file(place, train_images), find_file(place, train_labels), find_file(place, test_images),
          find_file(place, test_labels)};
}

}  // namespace trainer::data
