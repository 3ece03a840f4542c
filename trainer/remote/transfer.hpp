// What travels between this machine and a target: there, the arguments of a training and the files that they name (its
// network's YAML file and its data set); back, the run's folder. Files travel as one tar stream that is taken in by one
// script on either side: it is unpacked only when its SHA-256 is that of the stream at its source, so that a folder is
// whole or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/remote/connection.hpp"
#include "trainer/remote/container.hpp"

namespace trainer {

// Arguments are looked at as words: nothing is parsed that only the target needs to understand.
// Whether `--name` or `--name=value` is among them.
[[nodiscard]] bool has_option(const std::vector<std::string>& arguments, const std::string& name);
// The value of the last such option, which is the one that counts.
[[nodiscard]] std::optional<std::string> option_value(const std::vector<std::string>& arguments,
                                                      const std::string& name);

struct SentFiles {
  std::string option;              // "--model" or "--data"
  std::filesystem::path given;     // what the option names, its whole path here
  std::filesystem::path folder;    // here
  std::vector<std::string> names;  // the files and folders in it that are needed; nothing else of it is sent
  std::filesystem::path inside;    // that folder as the container sees it
  std::string word;                // the option's value there
};

// The files of a training that is started in `working_folder`. What is not on this machine is left to the target: the image
// has networks and data of its own. Throws SpecError and data::DataError for a file that nothing could be trained with.
[[nodiscard]] std::vector<SentFiles> files_of_training(const std::vector<std::string>& arguments,
                                                       const std::filesystem::path& working_folder);

// The same arguments for within the container.
[[nodiscard]] std::vector<std::string> arguments_inside(std::vector<std::string> arguments,
                                                        const std::vector<SentFiles>& files);

// A container of this machine gets the files themselves, read-only. Another machine gets what it does not have yet, and
// standard error says so; it goes into a folder named by its SHA-256,
// ${XDG_CACHE_HOME:-~/.cache}/mnist-trainer/sent/DIGEST. Throws TargetError, FileError.
[[nodiscard]] std::vector<Mount> bring_files(const Connection& connection,
                                             const std::vector<SentFiles>& files);

struct Fetched {
  std::filesystem::path folder;                // the files, to be moved where they belong
  std::map<std::string, std::string> digests;  // SHA-256 by file name
};

// Fetches the folder of run `id` from its container, which has ended, into `staging`, which is made anew.
// Nothing: the container has no such folder. Throws TargetError, and FileError where the stream cannot be
// written, arrived with another digest or holds something other than files.
[[nodiscard]] std::optional<Fetched> fetch_run(const Connection& connection, const std::string& id,
                                               const std::filesystem::path& staging);

}  // namespace trainer
