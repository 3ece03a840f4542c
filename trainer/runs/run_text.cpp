// The order of the lines is that of a reader's questions: how it went, of what, on what, epoch by epoch.
#include "trainer/runs/run_text.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <system_error>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

struct RunFile {
  std::string name;
  std::uint64_t bytes = 0;
};

std::vector<RunFile> files_of(const fs::path& folder) {
  std::vector<RunFile> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code failed;
    const std::uint64_t bytes = entry->file_size(failed);
    if (!failed && entry->is_regular_file(failed))
      files.push_back({entry->path().filename().string(), bytes});
  }
  std::ranges::sort(files, {}, &RunFile::name);
  return files;
}

std::string line(const std::string& key, const std::string& value) {
  return fmt::format("{:<18}{}\n", printable(key), printable(value));
}

std::string status_lines(const KnownRun& run) {
  const RunRecord& record = run.record;
  std::string status = status_word(run);
  if (!record.reason.empty()) status += ": " + record.reason;
  if (run.killed) status += ": its process ended without closing the record";
  std::string text = line("status", status);
  if (run.killed || record.status == RunStatus::kStopped)
    text += line("go on with", fmt::format("trainer train --resume {}", run.folder.string()));
  text += line("started", record.started);
  if (!record.ended.empty()) text += line("ended", record.ended);
  if (!is_submission(record))
    text += line("time", fmt::format("{:.2f} s in all{}", run.seconds(),
                                     record.seconds > 0 ? "" : ", by the epochs that it told of"));
  for (const RunRecord::Resumption& part : record.resumed)
    text += line("resumed", fmt::format("after step {}, {}, by {}", grouped(part.step), part.started,
                                        fmt::join(part.command, " ")));
  return text + line("command", fmt::format("{}", fmt::join(record.command, " ")));
}

std::string result_lines(const KnownRun& run) {
  if (run.epochs.empty()) return line("accuracy", "none: no evaluation was made");
  const EpochRecord& last = run.epochs.back();
  std::string text;
  if (run.sprint) {
    text = line("sprint", fmt::format("{} seeds: mean {:.3f} +- {:.3f} %, training + test {:.4g} s (median)",
                                      run.epochs.size(), 100 * run.sprint->mean,
                                      100 * run.sprint->standard_error, run.sprint->seconds));
  }
  text += line(run.sprint ? "last seed" : "accuracy",
               fmt::format("{:.2f} % of {} test images, loss {:.4f}", 100 * last.test.accuracy,
                           grouped(run.record.data.test_images), last.test.loss));
  if (last.validation)
    text += line("", fmt::format("{:.2f} % of {} validation images", 100 * last.validation->accuracy,
                                 grouped(run.record.data.validation_images)));
  if (const auto seconds = find_number(run.record.results, {"seconds_to_first_step"}))
    text += line("first step", fmt::format("{:.2f} s after the start", *seconds));
  if (const auto bytes = find_count(run.record.results, {"peak_memory_bytes"}))
    text += line("peak memory", size_text(*bytes) + " of the process");
  if (const auto energy = find_number(run.record.results, {"energy_joules"}))
    text += line("energy", fmt::format("{:.1f} J of the GPU", *energy));
  return text;
}

std::string member_lines(const ordered_json& json) {
  std::string text;
  if (!json.is_object()) return text;
  for (const auto& [key, value] : json.items()) text += line(key, value_text(value));
  return text;
}

std::string data_lines(const RunRecord::DataSet& data) {
  return line("data", data.path) + line("fingerprint", data.fingerprint) +
         line("images", fmt::format("{} training, {} validation, {} test", grouped(data.train_images),
                                    grouped(data.validation_images), grouped(data.test_images)));
}

std::string device_lines(const RunRecord& record) {
  std::string text = line("target", target_name(record)) +
                     line("device", find_text(record.device, {"name"}).value_or("unknown"));
  const ordered_json* used = find_value(record.device, {"gpu", "used"});
  if (used != nullptr && *used == true) {
    const auto count = [&](const char* key) { return find_count(record.device, {"gpu", key}).value_or(0); };
    text += line("GPU", fmt::format("compute capability {}.{}, {}", count("major"), count("minor"),
                                    size_text(count("total_bytes"))));
  } else if (const auto reason = find_text(record.device, {"gpu", "reason"})) {
    text += line("GPU", "none used: " + *reason);
  }
  return text + line("threads", fmt::format("{}", record.threads)) +
         line("machine", value_text(record.machine)) + line("versions", value_text(record.versions));
}

// Of a run whose own record has not come.
std::string submission_lines(const KnownRun& run) {
  const RunRecord& record = run.record;
  std::string text = line("model", record.model) + line("seed", fmt::format("{}", record.seed));
  text += line("target", target_name(record));
  for (const char* key : {"address", "image", "gpus"})
    if (const auto value = find_text(record.target, {key})) text += line(key, *value);
  if (record.status == RunStatus::kRunning)
    text += line("go on with", fmt::format("trainer runs attach {}", run.id));
  return text;
}

std::string epochs_table(const KnownRun& run) {
  const bool validates =
      std::ranges::any_of(run.epochs, [](const EpochRecord& epoch) { return epoch.validation.has_value(); });
  std::vector<TableColumn> columns;
  for (const char* title :
       {"epoch", "step", "train loss", "test", "test loss", "rate", "seconds", "tests s", "images/s"})
    columns.push_back({title, TableColumn::Align::right});
  if (validates) columns.push_back({"validation", TableColumn::Align::right});
  TextTable table(std::move(columns));
  for (const EpochRecord& e : run.epochs) {
    table.add({fmt::format("{}", e.epoch), fmt::format("{}", e.step), fmt::format("{:.4f}", e.train_loss),
               fmt::format("{:.2f} %", 100 * e.test.accuracy), fmt::format("{:.4f}", e.test.loss),
               fmt::format("{:.3g}", e.learning_rate), fmt::format("{:.3f}", e.seconds),
               fmt::format("{:.3f}", e.evaluation_seconds), count_text(e.images_per_second()),
               e.validation ? fmt::format("{:.2f} %", 100 * e.validation->accuracy) : "-"});
  }
  return table.text();
}

std::string files_table(const fs::path& folder) {
  std::string text;
  for (const RunFile& file : files_of(folder))
    text += fmt::format("{:<28}{:>12}\n", printable(file.name), size_text(file.bytes));
  return text;
}

}  // namespace

std::string run_text(const KnownRun& run) {
  const RunRecord& record = run.record;
  std::string text = line("run", run.id) + line("folder", run.folder.string()) + status_lines(run);
  if (is_submission(record)) return text + "\n" + submission_lines(run);
  text += "\n" + result_lines(run);
  text += "\n" + line("model", record.model) + line("seed", fmt::format("{}", record.seed));
  ordered_json recipe = record.recipe;
  if (recipe.is_object()) recipe.erase("settings");
  text += line("precision", find_text(record.recipe, {"settings", "precision"}).value_or("fp32"));
  text += line("engine", find_text(record.recipe, {"settings", "engine"}).value_or("auto"));
  text += member_lines(recipe) + data_lines(record.data) + "\n" + device_lines(record);
  if (!run.epochs.empty()) text += "\n" + epochs_table(run);
  return text + "\n" + files_table(run.folder);
}

ordered_json run_json(const KnownRun& run) {
  ordered_json json{{"id", run.id}, {"folder", run.folder.string()}};
  json["status"] = status_word(run);
  json["target"] = target_name(run.record);
  json["seconds"] = run.seconds();
  json["record"] = read_run_record_json(run.folder / kRunRecordName);
  json["epochs"] = ordered_json::array();
  for (const EpochRecord& epoch : run.epochs) json["epochs"].push_back(epoch_json(epoch));
  json["files"] = ordered_json::array();
  for (const RunFile& file : files_of(run.folder))
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
  return json;
}

}  // namespace trainer
