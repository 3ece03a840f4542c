// A folder of texts that are expensive to make again: plans of engines that the library compiles at run time. A file is
//   key \n checksum of the text \n text
// under a name made from the key. The cache never causes a failure: a file that cannot be read, belongs to another key
// or is damaged counts as absent, and a text that cannot be written is not stored.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace trainer::cuda {

class PlanCache {
 public:
  // With an empty path nothing is ever found or stored. The folder is made when the first text is stored.
  explicit PlanCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // `key` is one line.
  std::optional<std::string> find(const std::string& key) const noexcept;
  // Writes the file under a name unique to this process, then renames it: a reader sees a whole file or none.
  void keep(const std::string& key, const std::string& text) const noexcept;

  std::filesystem::path file_of(const std::string& key) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace trainer::cuda
