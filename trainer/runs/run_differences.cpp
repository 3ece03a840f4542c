// Lists are values. Where one run has an object and another a plain value, each name stands for itself.
#include "trainer/runs/run_differences.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string_view>
#include <unordered_map>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

// State of a moment, or said elsewhere: the report is the device as text, the settings are those of the
// recipe, the list of GPUs holds the used one.
constexpr std::array<std::string_view, 13> kLeftOut{"available_bytes",
                                                    "report",
                                                    "free_bytes",
                                                    "power_watts",
                                                    "temperature_celsius",
                                                    "utilisation_percent",
                                                    "sm_clock_mhz_now",
                                                    "memory_clock_mhz_now",
                                                    "throttle_reasons",
                                                    "energy_joules",
                                                    "settings",
                                                    "gpus",
                                                    "gpu_software"};

bool is_left_out(std::string_view member) {
  return std::ranges::find(kLeftOut, member) != kLeftOut.end();
}

NamedValues compared_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  const auto setting = [&](const char* name) {
    const ordered_json* found = find_value(record.recipe, {"settings", name});
    return found == nullptr ? ordered_json(nullptr) : *found;
  };
  NamedValues values;
  take_apart(values, "",
             {{"model", record.model},
              {"model file", record.spec_text},
              {"seed", record.seed},
              {"precision", run.precision()},
              {"engine", find_text(record.recipe, {"settings", "engine"}).value_or("auto")},
              {"classes", setting("classes")},
              {"channels", setting("channels")},
              {"skip_bad_images", setting("skip_bad_images")},
              {"target", target_name(record)},
              {"threads", record.threads},
              {"recipe", record.recipe},
              {"data", data_json(record.data)},
              {"device", record.device},
              {"machine", record.machine},
              {"versions", record.versions}},
             is_left_out);
  std::erase_if(values,
                [](const NamedValue& named) { return named.value.is_object() && named.value.empty(); });
  return values;
}

// The file's text would fill the screen: which of the runs have the same one says enough.
std::string shown(const NamedRow& row, std::size_t run) {
  if (row.name != "model file") return value_text(row.values[run]);
  const auto first = std::ranges::find(row.values, row.values[run]);
  const auto same = static_cast<std::size_t>(first - row.values.begin());
  return same == run ? "its own" : "as " + letter_of(same);
}

// What is left for a value beside the longest name, if all runs get the same share.
std::size_t widest_cell(const std::vector<NamedRow>& differences, std::size_t runs) {
  std::size_t name = 0;
  for (const NamedRow& row : differences) name = std::max(name, row.name.size());
  const std::size_t share = name < kTableWidth ? (kTableWidth - name) / runs : 0;
  return share > kWideGap ? share - kWideGap : 0;
}

}  // namespace

void take_apart(NamedValues& values, const std::string& name, const ordered_json& json,
                bool (*left_out)(std::string_view member), int depth) {
  constexpr int kDeepest = 6;
  if (!json.is_object() || json.empty() || depth >= kDeepest) {
    values.push_back({name, json});
    return;
  }
  for (const auto& [member, value] : json.items()) {
    if (left_out == nullptr || !left_out(member))
      take_apart(values, name.empty() ? member : fmt::format("{}.{}", name, member), value, left_out,
                 depth + 1);
  }
}

bool NamedRow::differs() const {
  return std::ranges::any_of(values, [&](const ordered_json& value) { return value != values.front(); });
}

ordered_json data_json(const RunRecord::DataSet& data) {
  return {{"path", data.path},
          {"fingerprint", data.fingerprint},
          {"train_images", data.train_images},
          {"validation_images", data.validation_images},
          {"test_images", data.test_images}};
}

std::vector<NamedRow> side_by_side(const std::vector<KnownRun>& runs,
                                   const std::function<NamedValues(const KnownRun&)>& values_of) {
  std::vector<NamedRow> rows;
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (NamedValue& named : values_of(runs[run])) {
      const auto [place, is_first] = places.try_emplace(named.name, rows.size());
      if (is_first) rows.push_back({named.name, std::vector<ordered_json>(runs.size())});
      rows[place->second].values[run] = std::move(named.value);
    }
  }
  return rows;
}

std::vector<NamedRow> differences(const std::vector<KnownRun>& runs) {
  std::vector<NamedRow> rows = side_by_side(runs, compared_values);
  std::erase_if(rows, [](const NamedRow& row) { return !row.differs(); });
  return rows;
}

std::string differences_text(const std::vector<NamedRow>& differences) {
  if (differences.empty()) return "configuration and machine do not differ\n";
  std::vector<TableColumn> columns{{"what differs"}};
  const std::size_t runs = differences.front().values.size();
  for (std::size_t i = 0; i < runs; ++i) columns.push_back({letter_of(i)});
  TextTable table(std::move(columns));
  std::string blocks;
  const std::size_t widest = widest_cell(differences, runs);
  for (const NamedRow& row : differences) {
    std::vector<std::string> cells{row.name};
    std::string block = printable(row.name) + "\n";
    bool fits = true;
    for (std::size_t i = 0; i < runs; ++i) {
      cells.push_back(shown(row, i));
      fits = fits && cells.back().size() <= widest;
      block += fmt::format("  {}  {}\n", letter_of(i), printable(cells.back()));
    }
    if (fits) table.add(std::move(cells));
    if (!fits) blocks += block;
  }
  return table.text(kWideGap) + blocks;
}

ordered_json differences_json(const std::vector<NamedRow>& differences) {
  ordered_json json = ordered_json::array();
  for (const NamedRow& row : differences) json.push_back({{"name", row.name}, {"values", row.values}});
  return json;
}

}  // namespace trainer
