// Finding a run that was written before: RUN_OR_FILE of the commands.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <system_error>
#include <vector>

#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {
namespace {

namespace fs = std::filesystem;

struct KnownRun {
  fs::path folder;
  std::string name;
  fs::file_time_type written;
};

bool is_run_folder(const fs::path& folder) {
  std::error_code ignored;
  return std::ranges::any_of(
      std::array{kRunRecordName, kModelName, kCheckpointName},
      [&](std::string_view name) { return fs::is_regular_file(folder / name, ignored); });
}

fs::file_time_type last_written(const fs::path& folder) {
  fs::file_time_type latest = fs::file_time_type::min();
  for (const std::string_view name : {kRunRecordName, kModelName, kCheckpointName}) {
    std::error_code error;
    const fs::file_time_type time = fs::last_write_time(folder / name, error);
    if (!error) latest = std::max(latest, time);
  }
  return latest;
}

// The runs in a folder, the one written last first. A folder that does not exist has none.
std::vector<KnownRun> runs_in(const fs::path& runs) {
  std::vector<KnownRun> found;
  std::error_code error;
  for (fs::directory_iterator entry(runs, error), end; !error && entry != end; entry.increment(error))
    if (is_run_folder(entry->path()))
      found.push_back({entry->path(), entry->path().filename().string(), last_written(entry->path())});
  std::ranges::sort(found, [](const KnownRun& a, const KnownRun& b) {
    return a.written != b.written ? a.written > b.written : a.name > b.name;
  });
  return found;
}

std::string names_of(const std::vector<KnownRun>& runs) {
  constexpr std::size_t kMostListed = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(runs.size(), kMostListed); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ", ", runs[i].name);
  if (runs.size() > kMostListed) text += fmt::format(" and {} more", runs.size() - kMostListed);
  return text;
}

[[noreturn]] void refuse(const std::string& argument, const std::string& reason) {
  throw FileError(fmt::format("no run or file '{}': {}", argument, reason));
}

fs::path run_named(const std::string& argument, const fs::path& runs) {
  const std::vector<KnownRun> known = runs_in(runs);
  if (known.empty())
    refuse(argument,
           fmt::format("there is no such path, and no run in {}: train first, or name the runs folder with "
                       "TRAINER_RUNS",
                       runs.string()));
  if (argument == "last") return known.front().folder;
  std::vector<KnownRun> candidates;
  for (const KnownRun& run : known) {
    if (run.name == argument) return run.folder;
    if (run.name.starts_with(argument)) candidates.push_back(run);
  }
  if (candidates.size() == 1) return candidates.front().folder;
  if (candidates.empty())
    refuse(argument, fmt::format("there is no such path, and no run in {} begins so; there are: {}",
                                 runs.string(), names_of(known)));
  refuse(argument, fmt::format("{} runs in {} begin so: {}; give more of the name", candidates.size(),
                               runs.string(), names_of(candidates)));
}

}  // namespace

fs::path resolve_run(const std::string& run_or_file, const RunEnvironment& environment) {
  fs::path path = environment.working_folder / run_or_file;
  std::error_code ignored;
  if (run_or_file.empty())
    refuse(run_or_file, "it is empty: give a run folder, a .safetensors file, or 'last'");
  if (run_or_file == "last") return run_named(run_or_file, runs_folder(environment));
  if (fs::is_directory(path, ignored)) {
    if (is_run_folder(path)) return path;
    refuse(run_or_file, fmt::format("the folder {} holds none of {}, {}, {}", path.string(), kRunRecordName,
                                    kModelName, kCheckpointName));
  }
  if (fs::exists(path, ignored)) return path;
  return run_named(run_or_file, runs_folder(environment));
}

fs::path model_file(const fs::path& run_or_file) {
  std::error_code ignored;
  if (!fs::is_directory(run_or_file, ignored)) return run_or_file;
  for (const std::string_view name : {kModelName, kCheckpointName})
    if (fs::is_regular_file(run_or_file / name, ignored)) return run_or_file / name;
  throw FileError(fmt::format("the run {} holds no network: neither {} nor {}; it ended before it saved one",
                              run_or_file.string(), kModelName, kCheckpointName));
}

}  // namespace trainer
