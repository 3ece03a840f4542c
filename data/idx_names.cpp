// Finds the four files of an IDX data set, by the names, spellings and prefixes listed in data/idx.hpp.
#include <algorithm>
#include <array>
#include <fmt/ranges.h>
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
    for (const std::string& type : types)
      for (const char* separator : {"-", "."})
        for (const char* ending : {"", ".gz"})
          names.push_back(fmt::format("{}{}{}{}", stem, separator, type, ending));
  }
  return names;
}

struct FileKind {
  const char* what;
  Names names;
};

// The four files of a set.
std::array<FileKind, 4> file_kinds() {
  const Names images{"idx3-ubyte", "idx4-ubyte"}, labels{"idx1-ubyte", "idx2-int"};
  return {{{"training images", spellings({"train-images"}, images)},
           {"training labels", spellings({"train-labels"}, labels)},
           {"test images", spellings({"t10k-images", "test-images"}, images)},
           {"test labels", spellings({"t10k-labels", "test-labels"}, labels)}}};
}

struct Place {
  fs::path folder;
  std::string prefix;
};

// The sets in the folder `path`, or if there are none, in raw/ and NAME/raw/ below it. One without a prefix hides the others.
std::vector<Place> places_in(const fs::path& path) {
  std::vector<fs::path> folders{path};
  if (idx_prefixes(path).empty()) {
    folders = {path / "raw"};
    std::error_code unreadable;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, unreadable))
      folders.push_back(entry.path() / "raw");
    std::sort(folders.begin(), folders.end());
  }
  std::vector<Place> places;
  for (const fs::path& folder : folders) {
    for (const std::string& prefix : idx_prefixes(folder)) {
      places.push_back({folder, prefix});
      if (prefix.empty()) break;
    }
  }
  return places;
}

Place find_place(const fs::path& path) {
  if (!fs::is_directory(path))
    return {path.has_parent_path() ? path.parent_path() : ".", path.filename().string() + "-"};
  const std::vector<Place> places = places_in(path);
  if (places.empty()) return {path, ""};
  if (places.size() == 1) return places.front();
  Names choices;
  for (const auto& [folder, prefix] : places)
    choices.push_back((prefix.empty() ? folder : folder / prefix.substr(0, prefix.size() - 1)).string());
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
    if (file.starts_with('.')) continue;  // "._emnist-...", as archivers of macOS leave it
    for (const FileKind& kind : kinds) {
      for (const std::string& name : kind.names) {
        if (!file.ends_with(name)) continue;
        const std::string prefix = file.substr(0, file.size() - name.size());
        if (prefix.empty() || prefix.ends_with('-')) prefixes.insert(prefix);
      }
    }
  }
  // One that may not be looked into holds none for this user; any other reason says nothing of what it holds.
  if (unreadable && unreadable != std::errc::no_such_file_or_directory &&
      unreadable != std::errc::not_a_directory && unreadable != std::errc::permission_denied)
    refuse(folder, "the folder cannot be read: {}", unreadable.message());
  return prefixes;
}

bool holds_idx(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return !places_in(path).empty();
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  return idx_prefixes(folder).contains(path.filename().string() + "-");
}

IdxFiles find_idx_files(const fs::path& path) {
  const Place place = find_place(path);
  const auto [train_images, train_labels, test_images, test_labels] = file_kinds();
  return {find_file(place, train_images), find_file(place, train_labels), find_file(place, test_images),
          find_file(place, test_labels)};
}

}  // namespace trainer::data
