// Networks under names of their own, each in numbered versions that never change:
//   runs/registry/digits/2/          run.json  metrics.jsonl  output.log  model.safetensors  version.json
//   runs/registry/digits/stages.json   {"1": "retired", "2": "production", "3": "staging"}
// A version is a copy of a run, which may be deleted afterwards. Its folder is made under a hidden name, flushed, and renamed, under a
// lock of the name's folder: a kill or a full disk leaves no part of it, and two processes make two versions.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/store/run_folder.hpp"

namespace trainer {

inline constexpr std::string_view kRegistryName = "registry";
inline constexpr std::string_view kVersionName = "version.json";

struct RegisteredVersion {
  std::string name = {};
  int version = 0;
  std::string stage = {};               // "staging", "production", "retired" or ""
  std::string run = {};                 // the id of the run that it was made of
  std::string promoted = {};            // iso_time
  std::string model = {};               // the network's name
  std::string sha256 = {};              // the hash of model.safetensors
  std::optional<double> accuracy = {};  // on the test images, 0 to 1
  std::filesystem::path folder = {};
  std::string problem = {};  // why its files cannot be read; then only name, version and folder are known

  [[nodiscard]] std::string text() const;  // "digits@2"
};

// What a run's folder is called: its name, or "digits@2" for that of a version.
[[nodiscard]] std::string run_id(const std::filesystem::path& folder);

// All versions of all names, or of one name: by name, then the newest first. Throws FileError if the registry cannot be read.
[[nodiscard]] std::vector<RegisteredVersion> registered_versions(const RunEnvironment& environment,
                                                                 const std::string& name = "");

// What NAME (its newest version that is not retired), NAME@VERSION, NAME@production or NAME@staging means. Nothing if no network
// has that name; FileError, with the choices, if it has no such version.
[[nodiscard]] std::optional<RegisteredVersion> find_version(const std::string& words,
                                                            const RunEnvironment& environment);

// The folder of that version, for resolve_run. Throws FileError if its model is not the one that was promoted.
[[nodiscard]] std::optional<std::filesystem::path> registered_folder(const std::string& words,
                                                                     const RunEnvironment& environment);

struct Promotion {
  RegisteredVersion version = {};
  bool is_new =
      false;  // false: a version of the name had these weights already, and only its stage may have changed
  std::string note = {};  // what another version, or a stage, lost by it
};

// Makes a version of the run in a folder, unless one of the name has its weights, and gives it the stage ("staging" or
// "production"; "": the one that it has); the version that had the stage before has none then. `version` says name, stage, run,
// model and accuracy. A retired version is in use again. Throws UsageError for a name that cannot be one; FileError for a run that is being written or has no model,
// and where the registry cannot be written.
Promotion promote(const std::filesystem::path& run, RegisteredVersion version,
                  const RunEnvironment& environment);

// Takes a version out of use: NAME alone no longer means it, nor does a stage. NAME@VERSION still does. Returns it as it was before.
// Throws UsageError for a name without a version; FileError.
RegisteredVersion retire(const std::string& words, const RunEnvironment& environment);

}  // namespace trainer
