#include "trainer/remote/target_record.hpp"

#include <ctime>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/remote/training_words.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

void move_into(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw FileError(fmt::format("cannot write {}: {}", to.string(), error.message()));
}

}  // namespace

RunRecord submitted_record(const Environment& environment, const NamedTarget& named, const std::string& id) {
  const Target& target = named.target;
  RunRecord record;
  record.command = environment.arguments;
  const TrainingName name = training_name(named.config.arguments);
  record.model = name.model;
  record.seed = name.seed;
  record.program_version = kVersion;
  record.commit = kCommit;
  record.started = iso_time(std::time(nullptr));
  for (ordered_json* part :
       {&record.recipe, &record.device, &record.versions, &record.machine, &record.results})
    *part = ordered_json::object();
  record.target = {{"name", target.name}, {"type", target_type_word(target.type)}};
  if (target.is_remote()) {
    record.target["address"] = target.address;
    record.target["username"] = target.username;
  }
  if (target.uses_docker()) {
    record.target["image"] = target.image;
    record.target["gpus"] = target.gpus;
    record.target["container"] = id;
  }
  record.target["submitted"] = environment.arguments;
  return record;
}

std::string target_word(const RunRecord& record, const std::string& key) {
  if (!record.target.is_object()) return "";
  const auto found = record.target.find(key);
  return found != record.target.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string container_of(const fs::path& folder, const RunRecord& record) {
  std::string name = target_word(record, "container");
  if (is_container_name(name)) return name;
  throw FileError(fmt::format("the record of {} names no container: {}", folder.string(), in_quotes(name)));
}

void close_as_failed(const fs::path& folder, RunRecord record, const std::string& reason) {
  record.status = RunStatus::kFailed;
  record.reason = reason;
  record.ended = iso_time(std::time(nullptr));
  write_run_record(folder / kRunRecordName, record);
}

void merge_fetched(const fs::path& folder, const RunRecord& started, const std::optional<Fetched>& fetched,
                   const RunEnd& end) {
  RunRecord record = started;
  bool came = false;
  if (fetched) {
    for (const auto& [name, digest] : fetched->digests)
      if (name != kRunRecordName) move_into(fetched->folder / name, folder / name);
    came = fetched->digests.contains(std::string(kRunRecordName));
    if (came) record = read_run_record(fetched->folder / kRunRecordName);
  }
  record.target = started.target;
  // Later commands find the data set where it was sent from.
  if (const auto data = find_text(started.target, {"sent", "data"}); data && came) record.data.path = *data;
  record.target["exit_code"] = end.exit_code;
  if (fetched) record.target["sha256"] = fetched->digests;
  if (came && record.status != RunStatus::kRunning) {
    write_run_record(folder / kRunRecordName, record);
    return;
  }
  const char* when = came ? "before the run's record was closed" : "before the run began";
  close_as_failed(
      folder, record,
      end.text.empty() ? fmt::format("the program ended with status {} {}", end.exit_code, when) : end.text);
}

}  // namespace trainer
