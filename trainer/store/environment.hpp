// What the program is given from outside, read once by main and handed down. Elsewhere the environment is read for
// what a terminal can show (progress.cpp) and what hides GPUs
// (kernels/gpu_host/gpu_surroundings.cpp).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "trainer/store/run_folder.hpp"

namespace trainer {

struct Environment {
  std::vector<std::string> arguments;  // argv
  std::filesystem::path executable;    // whole path of the running program
  RunEnvironment runs;                 // working folder and TRAINER_RUNS
  std::optional<std::string> data;     // TRAINER_DATA
  std::filesystem::path cache;         // TRAINER_CACHE, or mnist-trainer/ in the user's cache; empty: none
  std::filesystem::path runtime;       // XDG_RUNTIME_DIR; empty: none
};

Environment read_environment(int argc, char** argv);

// Where --data, TRAINER_DATA or the shipped MNIST is. Throws data::DataError.
std::filesystem::path data_folder(const Environment& environment, const std::string& given);

// The folder of the shipped networks: beside the program in a source tree or an installation, or where it was
// compiled to look. Throws UsageError naming the places.
std::filesystem::path models_folder(const Environment& environment);

}  // namespace trainer
