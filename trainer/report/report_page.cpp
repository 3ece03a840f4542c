#include "trainer/report/report_page.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <utility>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/report/html_template.hpp"
#include "trainer/report/report_plots.hpp"
#include "trainer/report/report_template.hpp"
#include "trainer/report/report_values.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

Score last_test(const KnownRun& run) {
  Score score = run.epochs.back().test;
  score.accuracy = std::clamp(score.accuracy, 0.0, 1.0);
  return score;
}

std::string accuracy_of(const KnownRun& run) {
  return run.accuracy() ? fmt::format("{:.2f} %", 100 * *run.accuracy()) : "-";
}

std::string accuracy_with_error(const KnownRun& run) {
  if (run.sprint)
    return fmt::format("{:.3f} ± {:.3f} %", 100 * run.sprint->mean, 100 * run.sprint->standard_error);
  return run.epochs.empty() ? "-" : score_text(last_test(run));
}

std::string loss_of(const KnownRun& run) {
  if (run.epochs.empty()) return "-";
  const double loss = run.epochs.back().test.loss;
  if (!std::isfinite(loss)) return "not finite";
  return std::abs(loss) < 1e6 ? fmt::format("{:.4f}", loss) : fmt::format("{:g}", loss);
}

std::string error_count(const KnownRun& run) {
  if (run.epochs.empty()) return "no evaluation";
  if (run.sprint) {
    return fmt::format("mean of {} seeds ± {:.3f}; {:.4g} s each", run.epochs.size(),
                       100 * run.sprint->standard_error, run.sprint->seconds);
  }
  const Score score = last_test(run);
  const double wrong = std::round((1 - score.accuracy) * static_cast<double>(score.images));
  return fmt::format("± {:.2f}; {} of {} images wrong", 100 * score.standard_error(),
                     grouped(static_cast<std::uint64_t>(std::min(wrong, 1e15))), grouped(score.images));
}

std::string epoch_time_of(const KnownRun& run) {
  const EpochSpan times = epoch_span(run);
  return times.epochs == 0 ? "-" : duration_text(times.median);
}

std::string epochs_text(const KnownRun& run) {
  if (run.epochs.empty()) return "none finished";
  return fmt::format("{} {}{}, {} steps{}", grouped(run.epochs.size()), epoch_word(run),
                     run.epochs.size() == 1 ? "" : "s", grouped(run.epochs.back().step),
                     run.sprint ? " each" : "");
}

std::string rate_text(const KnownRun& run) {
  const EpochSpan times = epoch_span(run);
  if (!(times.median > 0)) return "";
  const double rate = static_cast<double>(run.record.data.train_images) / times.median;
  return fmt::format("{} images a second", grouped(static_cast<std::uint64_t>(std::min(rate, 1e15))));
}

std::string time_in_all(const KnownRun& run) {
  return duration_text(run.record.seconds);
}

std::string device_name(const KnownRun& run) {
  return find_text(run.record.device, {"name"}).value_or("unknown device");
}

std::string status_of(const KnownRun& run) {
  return status_word(run);
}

std::string title_of(const std::vector<KnownRun>& runs) {
  if (runs.size() > 1) return fmt::format("{} runs compared", runs.size());
  return fmt::format("{}: {}", runs.front().record.model, accuracy_of(runs.front()));
}

// The head of one run's page: a few large numbers.
void add_head(ordered_json& page, const KnownRun& run) {
  const auto add_tile = [&](const char* title, const std::string& value, const std::string& more) {
    page["tiles"]["tile"].push_back({{"title", title}, {"value", value}, {"more", more}});
  };
  page["kind"] = "Report of a training";
  page["heading"] = run.record.model;
  page["about"] =
      fmt::format("run {}, {}, started {}, on {}", run.id, status_word(run), time_text(run.record.started),
                  find_text(run.record.machine, {"host"}).value_or(""));
  add_tile("Test accuracy", accuracy_of(run), error_count(run));
  add_tile("Test loss", loss_of(run), epochs_text(run));
  add_tile("Time of an epoch", epoch_time_of(run), rate_text(run));
  add_tile("Time in all", time_in_all(run), device_name(run));
  if (run.record.status == RunStatus::kFailed) page["failure"] = {{"reason", run.record.reason}};
}

// The head of several runs' page: the numbers side by side.
void add_head(ordered_json& page, const std::vector<KnownRun>& runs) {
  ordered_json table{{"name", "Results"}};
  const auto add_row = [&](const char* title, const auto& text_of) {
    ordered_json texts = ordered_json::array();
    for (const KnownRun& run : runs) texts.push_back(text_of(run));
    table["rows"].push_back({{"title", title}, {"texts", texts}});
  };
  page["kind"] = "Comparison of trainings";
  page["heading"] = title_of(runs);
  page["about"] = "± is the standard error that so many test images give; over seeds results differ more.";
  for (std::size_t i = 0; i < runs.size(); ++i)
    table["columns"]["runs"].push_back({{"letter", letter_of(i)}, {"swatches", {{"style", line_style(i)}}}});
  add_row("run", [](const KnownRun& run) { return run.id; });
  add_row("network", [](const KnownRun& run) { return run.record.model; });
  add_row("status", status_of);
  add_row("test accuracy", accuracy_with_error);
  add_row("test loss", loss_of);
  add_row("length", epochs_text);
  add_row("time of an epoch", epoch_time_of);
  add_row("speed", rate_text);
  add_row("time in all", time_in_all);
  add_row("device", device_name);
  add_row("precision", [](const KnownRun& run) {
    return find_text(run.record.recipe, {"settings", "precision"}).value_or("-");
  });
  add_row("seed", [](const KnownRun& run) { return std::to_string(run.record.seed); });
  add_row("started", [](const KnownRun& run) { return time_text(run.record.started); });
  page["comparison"] = std::move(table);
}

// A key may be broken behind its joints: "recipe.", "batch".
ordered_json key_json(const std::string& key) {
  ordered_json joints = ordered_json::array();
  std::size_t begin = 0;
  for (std::size_t at = key.find_first_of("._"); at != std::string::npos;
       at = key.find_first_of("._", begin)) {
    joints.push_back(key.substr(begin, at + 1 - begin));
    begin = at + 1;
  }
  return {{"joints", joints}, {"rest", key.substr(begin)}};
}

ordered_json value_table(const std::string& name, const std::vector<NamedRow>& rows, std::size_t runs) {
  ordered_json table{{"name", name}, {"columns", nullptr}};
  for (std::size_t i = 0; runs > 1 && i < runs; ++i)
    table["columns"]["runs"].push_back({{"letter", letter_of(i)}, {"swatches", nullptr}});
  for (const NamedRow& row : rows)
    table["rows"].push_back({{"key", key_json(row.name)}, {"texts", row.values}});
  return table;
}

std::vector<NamedRow> rows_of(const std::vector<KnownRun>& runs,
                              NamedValues (*values_of_run)(const KnownRun&)) {
  std::vector<NamedValues> values;
  values.reserve(runs.size());
  for (const KnownRun& run : runs) values.push_back(values_of_run(run));
  return side_by_side(values);
}

void add_configuration(ordered_json& page, const std::vector<KnownRun>& runs) {
  const std::vector<NamedRow> rows = rows_of(runs, configuration_values);
  page["configuration"] = value_table("Configuration", rows, runs.size());
  page["configuration"]["alone"] = runs.size() == 1;
  if (runs.size() == 1) return;
  std::vector<NamedRow> different;
  std::ranges::copy_if(rows, std::back_inserter(different), &NamedRow::differs);
  page["alike"] = different.empty();
  if (!different.empty()) page["differences"] = value_table("What differs", different, runs.size());
}

// The report as the run printed it; what its values were, where an earlier program did not keep the text.
std::string device_text(const KnownRun& run) {
  if (const auto report = find_text(run.record.device, {"report"})) return *report;
  std::string text;
  for (const NamedValue& named : values_of(run.record.device))
    text += fmt::format("{:<21} {}\n", named.name, named.value.get<std::string>());
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
  ordered_json values{{"page_title", title_of(runs)}, {"version", kVersion}, {"commit", kCommit}};
  runs.size() == 1 ? add_head(values, runs.front()) : add_head(values, runs);
  values["curves"] = training_curves(runs);
  values["networks"] = networks_of(page);
  if (page.networks.size() < runs.size()) values["networks_shown"] = page.networks.size();
  values["devices"] = devices_of(runs);
  values["results"] = value_table("All results", rows_of(runs, result_values), runs.size());
  add_configuration(values, runs);
  values["commands"] = commands_of(runs);
  return filled_template(kReportTemplate, values);
}

}  // namespace trainer
