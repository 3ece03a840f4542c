// What a submitted training reads of this machine, its network's YAML file and its data set, brought to where
// its container is. A container of this machine gets the files themselves, read-only. Another machine gets
// them once, through the connection, into a folder named by their SHA-256:
//   ${XDG_CACHE_HOME:-~/.cache}/mnist-trainer/sent/DIGEST
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/remote/connection.hpp"
#include "trainer/remote/container.hpp"

namespace trainer {

struct SentFiles {
  std::string option;              // "--model" or "--data"
  std::filesystem::path given;     // what the option names, its whole path here
  std::filesystem::path folder;    // here
  std::vector<std::string> names;  // the files and folders in it that are needed; nothing else of it is sent
  std::filesystem::path inside;    // that folder as the container sees it
  std::string word;                // the option's value there
};

// Of the arguments of a training, started in `working_folder`. What is not on this machine is left to the
// target: the image has networks and data of its own. Throws SpecError and data::DataError where a file is
// none that could be trained with.
[[nodiscard]] std::vector<SentFiles> files_of_training(const std::vector<std::string>& arguments,
                                                       const std::filesystem::path& working_folder);

// The same arguments for within the container.
[[nodiscard]] std::vector<std::string> arguments_inside(std::vector<std::string> arguments,
                                                        const std::vector<SentFiles>& files);

// Sends what the target does not have yet, and says so on standard error. Throws TargetError, FileError.
[[nodiscard]] std::vector<Mount> bring_files(const Connection& connection,
                                             const std::vector<SentFiles>& files);

}  // namespace trainer
