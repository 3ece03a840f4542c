// A run's folder brought back from a container: as one tar stream through the connection, its SHA-256
// compared with the one computed beside the container. Nothing of the run's folder here is touched before
// they agree.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "trainer/remote/connection.hpp"

namespace trainer {

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
