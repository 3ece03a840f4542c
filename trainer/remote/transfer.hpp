// Transfers between this machine and a target: the files that a training's arguments name (its network's YAML file and its
// data set) are sent, and the run's folder is fetched, or sent to continue it. Both are tar streams that the same shell script
// receives; it unpacks a stream only if its SHA-256 is the one computed at the source, so that a folder is complete or absent.
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

// The arguments are read as words: only the program on the target parses them.
// Whether `--name` or `--name=value` is one of them.
[[nodiscard]] bool has_option(const std::vector<std::string>& arguments, const std::string& name);
// The value of the last such option, which is the one in effect.
[[nodiscard]] std::optional<std::string> option_value(const std::vector<std::string>& arguments,
                                                      const std::string& name);

struct SentFiles {
  std::string option;              // "--model" or "--data"
  std::filesystem::path given;     // absolute path of what the option names on this machine
  std::filesystem::path folder;    // on this machine
  std::vector<std::string> names;  // the files and folders in it that are sent
  std::filesystem::path inside;    // the folder in the container
  std::string word;                // the option's value in the container
};

// The files of a training that is started in `working_folder`. A name that is no file of this machine is left to the target,
// whose image has networks and data of its own. Throws SpecError and data::DataError for files that cannot be trained with.
[[nodiscard]] std::vector<SentFiles> files_of_training(const std::vector<std::string>& arguments,
                                                       const std::filesystem::path& working_folder);

// The arguments with the paths in the container.
[[nodiscard]] std::vector<std::string> arguments_inside(std::vector<std::string> arguments,
                                                        const std::vector<SentFiles>& files);

// Makes the files available to a container and returns how to mount them. On this machine they are mounted themselves. To
// another machine they are sent, with a line on standard error, unless it has them already in a folder named by their SHA-256,
// ${XDG_CACHE_HOME:-~/.cache}/mnist-trainer/sent/DIGEST. Throws TargetError, FileError.
[[nodiscard]] std::vector<Mount> bring_files(const Connection& connection,
                                             const std::vector<SentFiles>& files);

struct Fetched {
  std::filesystem::path folder;                // holds the files
  std::map<std::string, std::string> digests;  // SHA-256 by file name
};

// Fetches the folder of run `id` from its container, which has ended, into the new folder `staging`. Returns nothing if the
// container has no such folder. Throws TargetError, and FileError if the stream cannot be written, has another digest than at
// the source, or holds anything but files.
[[nodiscard]] std::optional<Fetched> fetch_run(const Connection& connection, const std::string& id,
                                               const std::filesystem::path& staging);

// Copies the files that a training continues from, out of the run's `folder`, into the container `id`, which has not been started, as
// a folder that any user may write. Returns how that ended.
[[nodiscard]] ProcessOutput put_run(const Connection& connection, const std::string& id,
                                    const std::filesystem::path& folder);

}  // namespace trainer
