// Opening and checking a run that goes on.
#include "trainer/resume.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trainer/files.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

Resumed open_resumed(const Environment& environment, const std::string& run) {
  const fs::path found = resolve_run(run, environment.runs);
  const bool is_folder = fs::is_directory(found);
  SafetensorsFile file = SafetensorsFile::read(is_folder ? found / kCheckpointName : found);
  SavedNetwork saved = read_saved_network(file);
  if (!saved.resumable) {
    throw FileError(
        fmt::format("{}: a model, not a checkpoint: it has no optimiser state to go on from; "
                    "resume the run's folder or its {}",
                    file.path().string(), kCheckpointName));
  }
  return {is_folder ? found : found.parent_path(), std::move(file), std::move(saved)};
}

void require_same_data(const Resumed& resumed, const data::Dataset& dataset) {
  if (resumed.saved.fingerprint == dataset.fingerprint) return;
  throw UsageError(fmt::format(
      "--resume {}: it was trained on other data ({}) than {} ({}); name its data with --data",
      resumed.folder.string(), resumed.saved.fingerprint, dataset.path.string(), dataset.fingerprint));
}

void keep_earlier_metrics(const Resumed& resumed) {
  const fs::path path = resumed.folder / kMetricsName;
  if (!fs::exists(path)) return;
  std::string kept;
  for (const ordered_json& value : read_json_lines(path, std::uint64_t{1} << 30)) {
    if (value.value("epoch", std::uint64_t{0}) <= resumed.saved.position.passes) kept += value.dump() + "\n";
  }
  write_file_durably(path, kept);
}

}  // namespace trainer
