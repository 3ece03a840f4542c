// The two files of a target, read strictly and written readably, and the folder that they lie in. Two targets
// exist without files, local (a process of this machine) and docker (its Docker engine); a file of that name
// takes their place.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/remote/target.hpp"

namespace trainer {

struct NamedTarget {
  Target target;
  RunConfig config;
  bool built_in = false;
};

// The text of a file, the same bytes for the same values; reading it gives those values back.
[[nodiscard]] std::string compute_text(const Target& target);
[[nodiscard]] std::string runconfig_text(const RunConfig& config);

// `file` is used in errors only. Unknown, repeated and missing keys, values of another kind or alphabet:
// SpecError with file:line:column. A key that the type has no use for is unknown.
[[nodiscard]] Target parse_compute(const std::string& text, const std::string& file, const std::string& name);
[[nodiscard]] RunConfig parse_runconfig(const std::string& text, const std::string& file,
                                        const std::string& name);

// targets/ of the working folder.
class TargetFolder {
 public:
  explicit TargetFolder(const std::filesystem::path& working_folder) : path_(working_folder / "targets") {}

  // Throws UsageError for a name that is not there, with those that are; SpecError for a wrong file. Without
  // a runconfig file the target has the usual one.
  [[nodiscard]] NamedTarget find(const std::string& name) const;
  // All of them by name, the built-in ones first. Throws as find does.
  [[nodiscard]] std::vector<NamedTarget> all() const;

  // Writes both files. Throws UsageError where one is there already or the name is not free, FileError.
  void attach(const Target& target) const;
  // Removes both. Throws UsageError where there is none, FileError.
  void detach(const std::string& name) const;

  [[nodiscard]] std::filesystem::path compute_file(const std::string& name) const;
  [[nodiscard]] std::filesystem::path runconfig_file(const std::string& name) const;

 private:
  [[nodiscard]] std::vector<std::string> names_of_files() const;
  [[noreturn]] void refuse_unknown(const std::string& name) const;

  std::filesystem::path path_;
};

}  // namespace trainer
