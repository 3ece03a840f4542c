// Which four files an IDX data set consists of: names, spellings and prefixes as listed in data/idx.hpp.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace trainer::data {

struct IdxFiles {
  std::filesystem::path train_images;
  std::filesystem::path train_labels;
  std::filesystem::path test_images;
  std::filesystem::path test_labels;
};

// Prefixes ("" or "emnist-letters-") of the IDX files in `folder`; none where it is no folder or has none.
std::set<std::string> idx_prefixes(const std::filesystem::path& folder);

// The four files of the set that `path` names. Throws DataError that lists what was looked for where one of
// them is missing, and the choices where `path` is a folder of several prefixed sets.
IdxFiles find_idx_files(const std::filesystem::path& path);

}  // namespace trainer::data
