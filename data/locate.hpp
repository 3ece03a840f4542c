// Where the data set of a run is, from any working directory: the first of
//   1. the path that was asked for (--data), which is right or an error, never passed over;
//   2. the environment's TRAINER_DATA, likewise;
//   3. MNIST beside the program: data/mnist in a folder above it (a build folder in the source tree), or
//      share/mnist-trainer/mnist (an installation);
//   4. MNIST where the program was compiled to look.
// All inputs are given, none is looked up here, so that a test needs no environment.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace trainer::data {

struct SearchPlaces {
  std::optional<std::filesystem::path> given = {};      // --data
  std::optional<std::string> environment = {};          // TRAINER_DATA; empty counts as not set
  std::filesystem::path executable = {};                // whole path of the running program
  std::vector<std::filesystem::path> compiled_in = {};  // folders that hold MNIST, in order of preference
};

// The path to hand to load_dataset. For 3 and 4 it holds IDX files; for 1 and 2 it exists, or is a prefix of
// IDX files. Throws DataError that names every place that was looked at.
std::filesystem::path find_data(const SearchPlaces& places);

}  // namespace trainer::data
