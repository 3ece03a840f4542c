#include "trainer/remote/target_record.hpp"

#include <charconv>
#include <ctime>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/files.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/settings.hpp"
#include "trainer/training_run.hpp"
#include "trainer/version.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

std::optional<std::string> option_value(const std::vector<std::string>& arguments, const std::string& name) {
  std::optional<std::string> value;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with(name + "=")) value = arguments[i].substr(name.size() + 1);
    if (arguments[i] == name && i + 1 < arguments.size()) value = arguments[i + 1];
  }
  return value;
}

void move_into(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw FileError(fmt::format("cannot write {}: {}", to.string(), error.message()));
}

}  // namespace

bool has_option(const std::vector<std::string>& arguments, const std::string& name) {
  for (const std::string& argument : arguments)
    if (argument == name || argument.starts_with(name + "=")) return true;
  return false;
}

TrainingName training_name(const std::vector<std::string>& arguments) {
  TrainingName name{RunOptions{}.model, TrainSettings{}.seed};
  if (const auto model = option_value(arguments, "--model")) name.model = fs::path(*model).stem().string();
  if (const auto seed = option_value(arguments, "--seed"))
    std::from_chars(seed->data(), seed->data() + seed->size(), name.seed);
  return name;
}

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

void take_in(const fs::path& folder, const RunRecord& begun, const std::optional<Fetched>& fetched,
             const RunEnd& end) {
  RunRecord record = begun;
  bool came = false;
  if (fetched) {
    for (const auto& [name, digest] : fetched->digests)
      if (name != kRunRecordName) move_into(fetched->folder / name, folder / name);
    came = fetched->digests.contains(std::string(kRunRecordName));
    if (came) record = read_run_record(fetched->folder / kRunRecordName);
  }
  record.target = begun.target;
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
