#include "trainer/report/report_page.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/report/report.html.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

namespace {

constexpr std::size_t kLongestValue = 2000;

std::string number_text(const std::string& key, const ordered_json& json) {
  const auto number = json.get<double>();
  const auto ends = [&](std::string_view end) { return key.ends_with(end); };
  const auto has = [&](std::string_view part) { return key.find(part) != std::string::npos; };
  if (ends("bytes") && json.is_number_unsigned()) return size_text(json.get<std::uint64_t>());
  if (has("accuracy")) return fmt::format("{:.2f} %", 100 * number);
  if (has("seconds") && !ends("epochs")) return duration_text(number);
  if (ends("joules")) return fmt::format("{:.1f} J", number);
  if (ends("watts")) return fmt::format("{:.1f} W", number);
  if (json.is_number_unsigned() && !ends("seed")) return grouped(json.get<std::uint64_t>());
  return json.is_number_float() ? fmt::format("{:.6g}", number) : json.dump();
}

std::string shown_value(const std::string& key, const ordered_json& json) {
  const std::string text = json.is_number() ? number_text(key, json) : value_text(json);
  return text.size() > kLongestValue ? text.substr(0, kLongestValue) + " ..." : text;
}

ordered_json result_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  ordered_json values{{"status", run.status()}};
  if (!record.reason.empty()) values["reason"] = record.reason;
  if (const std::string note = run.disagreement(); !note.empty()) values["note"] = note;
  values["started"] = time_text(record.started);
  values["ended"] = record.ended.empty() ? "-" : time_text(record.ended);
  if (!record.resumed.empty()) values["resumed"] = fmt::format("{} times", record.resumed.size());
  if (record.results.is_object()) values.update(record.results);
  return values;
}

ordered_json configuration_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  ordered_json values{{"model", record.model}, {"seed", record.seed}, {"threads", record.threads}};
  for (const char* key : {"kind", "name"})
    if (const auto text = find_text(record.device, {key})) values["device"][key] = *text;
  values.update({{"recipe", record.recipe},
                 {"data", data_json(record.data)},
                 {"program_version", record.program_version},
                 {"commit", record.commit.empty() ? "-" : record.commit},
                 {"versions", record.versions},
                 {"machine", record.machine}});
  return values;
}

std::string loss_text(double loss) {
  if (!std::isfinite(loss)) return "not finite";
  return fmt::format(fmt::runtime(std::abs(loss) < 1e6 ? "{:.4f}" : "{:g}"), loss);
}

void add_scores(ordered_json& head, const KnownRun& run, Score test) {
  test.accuracy = std::clamp(test.accuracy, 0.0, 1.0);
  const double wrong = (1 - test.accuracy) * static_cast<double>(test.images);
  head["score"] = score_text(test);
  head["errors"] = fmt::format("± {:.2f}; {} of {} images wrong", 100 * test.standard_error(),
                               count_text(wrong), grouped(test.images));
  if (const auto& sprint = run.sprint) {
    head["score"] = fmt::format("{:.3f} ± {:.3f} %", 100 * sprint->mean, 100 * sprint->standard_error);
    head["errors"] =
        fmt::format("mean of {} seeds{} ± {:.3f}; {:.4g} s each", run.evaluations(),
                    sprint->views > 1 ? " with views" : "", 100 * sprint->standard_error, sprint->seconds);
  }
  head["loss"] = loss_text(test.loss);
  const std::uint64_t last = run.epochs.empty() ? 0 : run.epochs.back().step;
  head["length"] = fmt::format(
      "{} {}{}, {} steps{}", grouped(run.evaluations()), run.epoch_word(), run.evaluations() == 1 ? "" : "s",
      grouped(find_count(run.record.results, {"step"}).value_or(last)), run.sprint ? " each" : "");
}

// What the page's head says about a run: tiles if there is one run, else a column of a table.
ordered_json head_of(const KnownRun& run, std::size_t index) {
  const RunRecord& record = run.record;
  const std::vector<double> epochs = epoch_durations(run);
  ordered_json head{{"letter", letter_of(index)},
                    {"style", line_style(index)},
                    {"id", run.id},
                    {"model", record.model},
                    {"status", run.status()},
                    {"accuracy", run.accuracy() ? fmt::format("{:.2f} %", 100 * *run.accuracy()) : "-"},
                    {"score", "-"},
                    {"errors", "no evaluation"},
                    {"loss", "-"},
                    {"length", "none finished"},
                    {"epoch_time", epochs.empty() ? "-" : duration_text(median(epochs))},
                    {"time", duration_text(record.seconds)},
                    {"device", find_text(record.device, {"name"}).value_or("unknown device")},
                    {"precision", run.precision()},
                    {"seed", record.seed},
                    {"started", time_text(record.started)},
                    {"host", find_text(record.machine, {"host"}).value_or("")}};
  if (!epochs.empty() && median(epochs) > 0)
    head["speed"] =
        count_text(static_cast<double>(record.data.train_images) / median(epochs)) + " images a second";
  if (record.status == RunStatus::kFailed) head["failure"] = {{"reason", record.reason}};
  if (const auto test = run.score("test")) add_scores(head, run, *test);
  return head;
}

// Gives named values of a run.
using ValuesOf = ordered_json (*)(const KnownRun&);

ordered_json rows_of(const std::vector<KnownRun>& runs, ValuesOf values_of_run) {
  std::vector<ordered_json> values;
  values.reserve(runs.size());
  for (const KnownRun& run : runs) values.push_back(values_of(values_of_run(run)));
  return side_by_side(values);
}

// A browser may break a key after each of its parts: "recipe.", "batch".
ordered_json value_table(const std::string& name, const ordered_json& rows) {
  ordered_json table{{"name", name}};
  for (const ordered_json& row : rows) {
    const auto& key = row["name"].get_ref<const std::string&>();
    ordered_json joints = ordered_json::array();
    std::size_t begin = 0;
    for (std::size_t at = key.find_first_of("._"); at != std::string::npos;
         at = key.find_first_of("._", begin)) {
      joints.push_back(key.substr(begin, at + 1 - begin));
      begin = at + 1;
    }
    table["rows"].push_back({{"joints", joints}, {"rest", key.substr(begin)}, {"texts", row["values"]}});
  }
  return table;
}

void add_configuration(ordered_json& page, const std::vector<KnownRun>& runs) {
  const ordered_json rows = rows_of(runs, configuration_values), different = different_rows(rows);
  page["configuration"] = value_table("Configuration", rows);
  page["configuration"]["alone"] = runs.size() == 1;
  page["alike"] = runs.size() > 1 && different.empty();
  if (!different.empty()) page["differences"] = value_table("What differs", different);
}

// The device report as the run printed it, or its values if an earlier program did not keep the text.
std::string device_text(const KnownRun& run) {
  if (const auto report = find_text(run.record.device, {"report"})) return *report;
  std::string text;
  const ordered_json values = values_of(run.record.device);
  for (const auto& [name, value] : values.items())
    text += report_line(name + " ", value.get<std::string>(), 22);
  return text.empty() ? "The run recorded no device.\n" : text;
}

// Runs on the same machine share a block.
ordered_json devices_of(const std::vector<KnownRun>& runs) {
  ordered_json devices = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string text = device_text(runs[i]);
    const auto same =
        std::ranges::find_if(devices, [&](const ordered_json& block) { return block["report"] == text; });
    if (same == devices.end())
      devices.push_back({{"letters", runs.size() > 1 ? letter_of(i) : ""}, {"report", text}});
    else
      (*same)["letters"] = (*same)["letters"].get<std::string>() + ", " + letter_of(i);
  }
  return devices;
}

ordered_json commands_of(const std::vector<KnownRun>& runs) {
  ordered_json commands = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& record = runs[i].record;
    commands.push_back({{"letter", runs.size() > 1 ? letter_of(i) : ""},
                        {"command", fmt::format("{}", fmt::join(record.command, " "))},
                        {"model", record.model},
                        {"spec", record.spec_text}});
  }
  return commands;
}

ordered_json networks_of(const ReportPage& page) {
  ordered_json networks = ordered_json::array();
  for (std::size_t i = 0; i < page.networks.size(); ++i) {
    ordered_json& network = networks.emplace_back(network_json(page.networks[i]));
    network["heading"] = page.runs.size() == 1
                             ? "On the test set"
                             : fmt::format("Network {}: {}", letter_of(i), page.runs[i].record.model);
    network["open"] = i == 0;
  }
  return networks;
}

}  // namespace

std::string report_html(const ReportPage& page) {
  const std::vector<KnownRun>& runs = page.runs;
  ordered_json heads = ordered_json::array(), letters = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    heads.push_back(head_of(runs[i], i));
    letters.push_back(letter_of(i));
  }
  ordered_json values{{"version", kVersion},
                      {"commit", kCommit},
                      {"curves", training_curves(runs)},
                      {"networks", networks_of(page)},
                      {"devices", devices_of(runs)},
                      {"results", value_table("All results", rows_of(runs, result_values))},
                      {"commands", commands_of(runs)}};
  if (runs.size() == 1) values["single"] = heads[0];
  if (runs.size() > 1) {
    values["several"] = {{"count", runs.size()}, {"runs", heads}};
    values["columns"] = {{"letters", letters}};
  }
  if (page.networks.size() < runs.size()) values["networks_shown"] = page.networks.size();
  add_configuration(values, runs);
  return filled_template(kReportTemplate, values);
}

ordered_json values_of(const ordered_json& json) {
  ordered_json texts = ordered_json::object();
  if (json.empty()) return texts;
  const ordered_json values = flattened(json);
  for (const auto& [name, value] : values.items())
    if (texts.size() < kMostReportValues) texts[name] = shown_value(name, value);
  return texts;
}

std::string time_text(std::string time) {
  if (time.size() < 20 || time[10] != 'T') return time;
  time[10] = ' ';
  return time.insert(19, " ");
}

}  // namespace trainer
