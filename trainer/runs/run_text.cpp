// The lines about a run answer a reader's questions in their order: how it went, what was trained, on what, epoch by epoch.
#include "trainer/runs/run_text.hpp"

#include <algorithm>
#include <fmt/ranges.h>
#include <system_error>
#include <utility>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

std::string csv_cell(const ordered_json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// A line whose value is "" is left out.
using Lines = std::vector<std::pair<std::string, std::string>>;

std::string lines_text(const Lines& lines) {
  std::string text;
  for (const auto& [key, value] : lines)
    if (!value.empty()) text += report_line(printable(key), printable(value), 18);
  return text;
}

template <class Value>
std::string told(const std::optional<Value>& value, const char* format) {
  return value ? text_of(value, format) : "";
}

// Where a run continued after its folder was copied.
std::string copied_text(const RunRecord& record) {
  return fmt::format(": this folder was copied while the run continued; how it ended is known at {}:{}",
                     find_text(record.machine, {"host"}).value_or("another machine"),
                     find_text(record.process, {"folder"}).value_or("its own folder"));
}

std::string status_lines(const KnownRun& run) {
  const RunRecord& record = run.record;
  const bool goes_on = run.killed || record.status == RunStatus::kStopped;
  const bool submitted = is_submission(record);
  Lines lines{{"run", run.id},
              {"folder", run.folder.string()},
              {"status", run.status() + (record.reason.empty() ? "" : ": " + record.reason) +
                             (run.killed ? ": its process ended without closing the record" : "") +
                             (run.copied ? copied_text(record) : "")},
              {"note", run.disagreement()},
              {"go on with", goes_on ? "trainer train --resume " + run.folder.string() : ""},
              {"started", record.started},
              {"ended", record.ended},
              {"time", submitted ? ""
                                 : fmt::format("{:.2f} s in all{}", run.seconds(),
                                               record.seconds > 0 ? "" : ", by the epochs that it told of")}};
  for (const RunRecord::Resumption& part : record.resumed)
    lines.emplace_back("resumed", fmt::format("after step {}, {}, by {}", grouped(part.step), part.started,
                                              fmt::join(part.command, " ")));
  lines.emplace_back("command", fmt::format("{}", fmt::join(record.command, " ")));
  return lines_text(lines);
}

// What is known about a submitted run whose own record has not arrived.
std::string submission_lines(const KnownRun& run) {
  const RunRecord& record = run.record;
  Lines lines{
      {"model", record.model}, {"seed", fmt::format("{}", record.seed)}, {"target", target_name(record)}};
  for (const char* key : {"address", "image", "gpus"})
    lines.emplace_back(key, find_text(record.target, {key}).value_or(""));
  if (record.status == RunStatus::kRunning) lines.emplace_back("go on with", "trainer runs attach " + run.id);
  return lines_text(lines);
}

std::string result_lines(const KnownRun& run) {
  const std::optional<Score> test = run.score("test"), validation = run.score("validation");
  const std::uint64_t evaluations = run.evaluations();
  if (!test && !run.sprint)
    return lines_text({{"accuracy", evaluations > 0 ? "unknown" : "none: no evaluation is written down"}});
  const auto score_text = [](const Score& score, const char* images) {
    return fmt::format("{:.2f} % of {} {} images", 100 * score.accuracy, grouped(score.images), images);
  };
  const ordered_json& results = run.record.results;
  const auto peak = find_count(results, {"peak_memory_bytes"});
  Lines lines;
  if (run.sprint)
    lines.emplace_back("sprint",
                       fmt::format("{} seeds: mean {:.3f} +- {:.3f} %{}, training + test {:.4g} s (median)",
                                   evaluations, 100 * run.sprint->mean, 100 * run.sprint->standard_error,
                                   run.sprint->views > 1 ? " with views" : "", run.sprint->seconds));
  lines.insert(
      lines.end(),
      {{run.sprint ? "last seed" : "accuracy",
        test ? fmt::format("{}, loss {:.4f}", score_text(*test, "test"), test->loss) : ""},
       {"", validation ? score_text(*validation, "validation") : ""},
       {"first step", told(find_number(results, {"seconds_to_first_step"}), "{:.2f} s after the start")},
       {"peak memory", peak ? size_text(*peak) + " of the process" : ""},
       {"energy", told(find_number(results, {"energy_joules"}), "{:.1f} J of the GPU")}});
  return lines_text(lines);
}

std::string configuration_lines(const KnownRun& run) {
  const RunRecord& record = run.record;
  Lines lines{{"model", record.model},
              {"seed", fmt::format("{}", record.seed)},
              {"precision", run.precision()},
              {"engine", find_text(record.recipe, {"settings", "engine"}).value_or("auto")},
              {"bits", find_text(record.recipe, {"settings", "bits"}).value_or("")},
              {"from", find_text(record.recipe, {"settings", "from"}).value_or("")}};
  if (record.recipe.is_object())
    for (const auto& [key, value] : record.recipe.items())
      if (key != "settings") lines.emplace_back(key, value_text(value));
  lines.insert(
      lines.end(),
      {{"data", record.data.path},
       {"fingerprint", record.data.fingerprint},
       {"images", fmt::format("{} training, {} validation, {} test", grouped(record.data.train_images),
                              grouped(record.data.validation_images), grouped(record.data.test_images))}});
  return lines_text(lines);
}

std::string gpu_text(const ordered_json& device) {
  const ordered_json* used = find_value(device, {"gpu", "used"});
  if (used == nullptr || *used != true) return told(find_text(device, {"gpu", "reason"}), "none used: {}");
  const auto count = [&](const char* key) { return find_count(device, {"gpu", key}).value_or(0); };
  return fmt::format("compute capability {}.{}, {}", count("major"), count("minor"),
                     size_text(count("total_bytes")));
}

// "4 on 2 machines, gradients of 1 bit, 0.412 s of training for their exchange"
std::string ranks_text(const ordered_json& results) {
  const auto count = [&](const char* key) { return find_count(results, {"ranks", key}).value_or(0); };
  if (count("count") == 0) return "";
  return fmt::format("{} on {} {}, gradients of {} {}, {:.3f} s of training for their exchange",
                     count("count"), count("machines"), count("machines") == 1 ? "machine" : "machines",
                     count("gradient_bits"), count("gradient_bits") == 1 ? "bit" : "bits",
                     find_number(results, {"ranks", "exchange_seconds"}).value_or(0));
}

std::string machine_lines(const RunRecord& record) {
  return lines_text({{"target", target_name(record)},
                     {"ranks", ranks_text(record.results)},
                     {"device", find_text(record.device, {"name"}).value_or("unknown")},
                     {"GPU", gpu_text(record.device)},
                     {"threads", fmt::format("{}", record.threads)},
                     {"machine", value_text(record.machine)},
                     {"versions", value_text(record.versions)}});
}

std::string epochs_table(const KnownRun& run) {
  const bool validates =
      std::ranges::any_of(run.epochs, [](const EpochRecord& epoch) { return epoch.validation.has_value(); });
  std::vector<TableColumn> columns{{">epoch"}, {">step"},    {">train loss"}, {">test"},    {">test loss"},
                                   {">rate"},  {">seconds"}, {">tests s"},    {">images/s"}};
  if (validates) columns.push_back({">validation"});
  TextTable table(columns);
  for (const EpochRecord& e : run.epochs) {
    table.add({fmt::format("{}", e.epoch), fmt::format("{}", e.step), fmt::format("{:.4f}", e.train_loss),
               fmt::format("{:.2f} %", 100 * e.test.accuracy), fmt::format("{:.4f}", e.test.loss),
               fmt::format("{:.3g}", e.learning_rate), fmt::format("{:.3f}", e.seconds),
               fmt::format("{:.3f}", e.evaluation_seconds), count_text(e.images_per_second()),
               e.validation ? fmt::format("{:.2f} %", 100 * e.validation->accuracy) : "-"});
  }
  return table.text();
}

// Sorted by name, without files whose size cannot be read.
std::vector<std::pair<std::string, std::uint64_t>> file_sizes(const fs::path& folder) {
  std::vector<std::pair<std::string, std::uint64_t>> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code failed;
    const std::uint64_t bytes = entry->file_size(failed);
    if (!failed && entry->is_regular_file(failed))
      files.emplace_back(entry->path().filename().string(), bytes);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::string short_device(std::string name) {
  for (const std::string_view part : {"CPU: ", "(R)", "(TM)", "NVIDIA ", "Intel ", " CPU", " Processor"})
    for (std::size_t at = name.find(part); at != std::string::npos; at = name.find(part))
      name.erase(at, part.size());
  return name.ends_with(" thread") || name.ends_with(" threads") ? name.substr(0, name.rfind(", ")) : name;
}

std::string runs_table(const std::vector<KnownRun>& runs) {
  TextTable table({{"id"},
                   {"model", 5},
                   {"device", 8},
                   {"target"},
                   {">accuracy"},
                   {">epochs"},
                   {">s/epoch"},
                   {"status"}});
  const auto shown = [](const ordered_json& value, const char* format = "{}", double factor = 1) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_null() ? "-" : fmt::format(fmt::runtime(format), factor * value.get<double>());
  };
  for (const ordered_json& row : runs_json(runs))
    table.add({shown(row["id"]), shown(row["model"]), short_device(shown(row["device"])),
               shown(row["target"]),
               shown(row["accuracy"], row["views"] > 1 ? "{:.2f} % views" : "{:.2f} %", 100),
               shown(row["epochs"]), shown(row["epoch_seconds"], "{:#.4g}"), shown(row["status"])});
  return table.text();
}

ordered_json runs_json(const std::vector<KnownRun>& runs) {
  auto json = ordered_json::array();
  for (const KnownRun& run : runs) {
    ordered_json& row = json.emplace_back();
    for (const RunField& field : run_fields()) row[std::string(field.name)] = field.value(run);
    row["folder"] = run.folder.string();
  }
  return json;
}

std::string runs_csv(const std::vector<KnownRun>& runs) {
  const Words names = field_names();
  std::string text = fmt::format("{}\n", fmt::join(names, ","));
  for (const ordered_json& row : runs_json(runs)) {
    Words cells;
    for (const std::string& name : names) cells.push_back(csv_cell(row[name]));
    text += fmt::format("{}\n", fmt::join(cells, ","));
  }
  return text;
}

std::string run_text(const KnownRun& run) {
  std::string text = status_lines(run) + "\n";
  if (is_submission(run.record)) return text + submission_lines(run);
  text += result_lines(run) + "\n" + configuration_lines(run) + "\n" + machine_lines(run.record) + "\n";
  if (!run.epochs.empty()) text += epochs_table(run) + "\n";
  for (const auto& [name, bytes] : file_sizes(run.folder))
    text += fmt::format("{:<28}{:>12}\n", printable(name), size_text(bytes));
  return text;
}

ordered_json run_json(const KnownRun& run) {
  ordered_json json{{"id", run.id},
                    {"folder", run.folder.string()},
                    {"status", run.status()},
                    {"target", target_name(run.record)},
                    {"seconds", run.seconds()},
                    {"record", read_run_record_json(run.folder / kRunRecordName)},
                    {"epochs", read_metrics(run.folder / kMetricsName)},
                    {"files", ordered_json::array()}};
  for (const auto& [name, bytes] : file_sizes(run.folder))
    json["files"].push_back({{"name", name}, {"bytes", bytes}});
  return json;
}

}  // namespace trainer
