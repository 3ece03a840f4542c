// The record of a submitted run.
#include <charconv>
#include <ctime>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/version.hpp"
#include "trainer/train/setup.hpp"
#include "trainer/train/training_run.hpp"

namespace trainer {

NewRun new_run(const Words& arguments) {
  NewRun run{RunOptions{}.model, TrainSettings{}.seed, std::time(nullptr), std::nullopt};
  if (const auto model = option_value(arguments, "--model")) run.model = fs::path(*model).stem().string();
  if (const auto seed = option_value(arguments, "--seed"))
    std::from_chars(seed->data(), seed->data() + seed->size(), run.seed);
  return run;
}

RunRecord submitted_record(const Environment& environment, const Target& target, const std::string& id) {
  const NewRun run = new_run(target.arguments);
  RunRecord record;
  record.command = environment.arguments;
  record.model = run.model;
  record.seed = run.seed;
  record.program_version = kVersion;
  record.commit = kCommit;
  record.started = iso_time(run.started);
  for (ordered_json* part :
       {&record.recipe, &record.device, &record.versions, &record.machine, &record.results})
    *part = ordered_json::object();
  const ordered_json all = target_json(target);
  for (const char* key : {"name", "type", "address", "username", "image", "gpus"})
    if (all.contains(key)) record.target[key] = all[key];
  if (target.uses_docker()) record.target["container"] = id;
  record.target["submitted"] = environment.arguments;
  return record;
}

std::string container_of(const fs::path& folder, const RunRecord& record) {
  std::string name = find_text(record.target, {"container"}).value_or("");
  if (is_spelled(name, "", "_.-") && name.size() <= 200) return name;
  throw FileError(fmt::format("the record of {} names no container: {}", folder.string(), in_quotes(name)));
}

Target target_of(const Environment& environment, const RunRecord& record) {
  const auto name = find_text(record.target, {"name"});
  if (!name) throw UsageError("this run was not submitted to a target: there is nothing to attach to");
  if (find_text(record.target, {"type"}) == "local")
    throw UsageError("this run is a process of this machine: it ends with the terminal that submitted it");
  try {
    return TargetFolder(environment.runs.working_folder).find(*name);
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}; {}", error.what(),
                                 ways_on(find_text(record.target, {"container"}).value_or("RUN"))));
  }
}

std::string ways_on(const std::string& id) {
  return fmt::format("if the machine is gone for good, close the record here: trainer runs close {}", id);
}

void close_as_failed(const fs::path& folder, RunRecord record, const std::string& reason) {
  record.status = RunStatus::kFailed;
  record.reason = reason;
  record.ended = iso_time(std::time(nullptr));
  write_run_record(folder / kRunRecordName, record);
}

void close_record(const fs::path& folder, const RunRecord& started, const fs::path& own, const RunEnd& end) {
  std::error_code ignored;
  const bool came = fs::exists(own, ignored);
  RunRecord record = came ? read_run_record(own) : started;
  record.target = started.target;
  record.target["exit_code"] = end.exit_code;
  // Later commands look for the data set where it is on this machine.
  if (const auto data = find_text(started.target, {"sent", "data"}); data && came) record.data.path = *data;
  if (came && record.status != RunStatus::kRunning) return write_run_record(folder / kRunRecordName, record);
  close_as_failed(folder, record,
                  end.text.empty()
                      ? fmt::format("the program ended with status {} {}", end.exit_code,
                                    came ? "before the run's record was closed" : "before the run began")
                      : end.text);
}

}  // namespace trainer
