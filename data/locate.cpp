// Finds the data set of a run in the places that data/dataset.hpp lists.
#include <fmt/ranges.h>
#include <system_error>

#include "data/idx.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;

// For a program in build/PRESET/trainer/, the source tree is three folders above that folder.
constexpr int kFoldersAbove = 4;

fs::path must_exist(const fs::path& path, const char* origin) {
  std::error_code error;
  if (fs::exists(path, error) || holds_idx(path)) return path;
  refuse(path, "no such data set ({}): {}", origin,
         error ? error.message() : "name a folder of IDX files or of pictures");
}

std::vector<fs::path> places_for_mnist(const SearchPlaces& places) {
  std::vector<fs::path> candidates;
  fs::path folder = places.executable.lexically_normal().parent_path();
  for (int i = 0; i < kFoldersAbove && !folder.empty(); ++i) {
    candidates.push_back(folder / "data" / "mnist");
    candidates.push_back(folder / "share" / "mnist-trainer" / "mnist");
    if (folder == folder.parent_path()) break;
    folder = folder.parent_path();
  }
  candidates.insert(candidates.end(), places.compiled_in.begin(), places.compiled_in.end());
  return candidates;
}

}  // namespace

fs::path find_data(const SearchPlaces& places) {
  if (places.given) return must_exist(*places.given, "--data");
  if (places.environment && !places.environment->empty()) {
    return must_exist(*places.environment, "environment variable TRAINER_DATA");
  }
  std::vector<std::string> looked_at;
  for (const fs::path& candidate : places_for_mnist(places)) {
    if (holds_idx(candidate)) return candidate;
    looked_at.push_back(candidate.string());
  }
  throw DataError(
      fmt::format("MNIST was not found; name its folder with --data or TRAINER_DATA (looked at {})",
                  fmt::join(looked_at, ", ")));
}

}  // namespace trainer::data
