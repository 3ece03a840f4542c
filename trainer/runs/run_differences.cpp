// Lists count as values. If one run has an object where another has a plain value, the names differ and so both are shown.
#include <algorithm>
#include <fmt/format.h>
#include <string_view>
#include <unordered_map>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// Leaves out the state of a moment and what is said elsewhere: the report is the device as text, the settings are the recipe's,
// and the GPU in use has its own member.
bool is_left_out(std::string_view member, const ordered_json& value) {
  for (const char* name : {"available_bytes", "report", "free_bytes", "power_watts", "temperature_celsius",
                           "utilisation_percent", "sm_clock_mhz_now", "memory_clock_mhz_now",
                           "throttle_reasons", "energy_joules", "settings", "gpus", "gpu_software"})
    if (member == name) return true;
  return value.is_object() && value.empty();
}

void take_apart(ordered_json& flat, const std::string& name, const ordered_json& json,
                decltype(&is_left_out) left_out, int depth) {
  constexpr int kDeepest = 7;
  if (!json.is_object() || json.empty() || depth >= kDeepest) {
    flat[name] = json;
    return;
  }
  for (const auto& [member, value] : json.items()) {
    if (left_out == nullptr || !left_out(member, value))
      take_apart(flat, name.empty() ? member : fmt::format("{}.{}", name, member), value, left_out,
                 depth + 1);
  }
}

ordered_json compared_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  const auto setting = [&](const char* name) {
    const ordered_json* found = find_value(record.recipe, {"settings", name});
    return found == nullptr ? ordered_json(nullptr) : *found;
  };
  return flattened({{"model", record.model},
                    {"model file", record.spec_text},
                    {"seed", record.seed},
                    {"precision", run.precision()},
                    {"engine", find_text(record.recipe, {"settings", "engine"}).value_or("auto")},
                    {"bits", find_text(record.recipe, {"settings", "bits"}).value_or("fast")},
                    {"from", setting("from")},
                    {"from_sha256", setting("from_sha256")},
                    {"new_head", setting("new_head")},
                    {"classes", setting("classes")},
                    {"channels", setting("channels")},
                    {"skip_bad_images", setting("skip_bad_images")},
                    {"target", target_name(record)},
                    {"threads", record.threads},
                    {"ranks", find_count(record.results, {"ranks", "count"}).value_or(1)},
                    {"machines", find_count(record.results, {"ranks", "machines"}).value_or(1)},
                    {"gradient_bits", setting("gradient_bits")},
                    {"warm_start_images", setting("warm_start_images")},
                    {"recipe", record.recipe},
                    {"data", data_json(record.data)},
                    {"device", record.device},
                    {"machine", record.machine},
                    {"versions", record.versions}},
                   is_left_out);
}

// The model file's text would fill the screen, so this says only which runs have the same one.
std::string shown(const ordered_json& row, std::size_t run) {
  const ordered_json& values = row["values"];
  if (row["name"] != "model file") return value_text(values[run]);
  const auto same = static_cast<std::size_t>(std::ranges::find(values, values[run]) - values.begin());
  return same == run ? "its own" : "as " + letter_of(same);
}

// The width that is left for each run's value beside the longest name.
std::size_t widest_cell(const ordered_json& differences, std::size_t runs) {
  std::size_t name = 0;
  for (const ordered_json& row : differences)
    name = std::max(name, row["name"].get_ref<const std::string&>().size());
  const std::size_t width = name < kTableWidth ? (kTableWidth - name) / runs : 0;
  return width > kWideGap ? width - kWideGap : 0;
}

}  // namespace

ordered_json flattened(const ordered_json& json, decltype(&is_left_out) left_out) {
  ordered_json flat = ordered_json::object();
  take_apart(flat, "", json, left_out, 0);
  return flat;
}

ordered_json data_json(const RunRecord::DataSet& data) {
  return {{"path", data.path},
          {"fingerprint", data.fingerprint},
          {"train_images", data.train_images},
          {"validation_images", data.validation_images},
          {"test_images", data.test_images}};
}

ordered_json side_by_side(const std::vector<ordered_json>& runs) {
  ordered_json rows = ordered_json::array();
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const auto& [name, value] : runs[run].items()) {
      const auto [place, is_first] = places.try_emplace(name, rows.size());
      if (is_first) rows.push_back({{"name", name}, {"values", std::vector<ordered_json>(runs.size())}});
      rows[place->second]["values"][run] = value;
    }
  }
  return rows;
}

ordered_json different_rows(const ordered_json& rows) {
  ordered_json different = ordered_json::array();
  for (const ordered_json& row : rows) {
    const ordered_json& values = row["values"];
    if (std::ranges::any_of(values, [&](const ordered_json& value) { return value != values[0]; }))
      different.push_back(row);
  }
  return different;
}

ordered_json differences(const std::vector<KnownRun>& runs) {
  std::vector<ordered_json> values;
  values.reserve(runs.size());
  for (const KnownRun& run : runs) values.push_back(compared_values(run));
  return different_rows(side_by_side(values));
}

std::string differences_text(const ordered_json& differences) {
  if (differences.empty()) return "configuration and machine do not differ\n";
  std::vector<TableColumn> columns{{"what differs"}};
  const std::size_t runs = differences[0]["values"].size();
  for (std::size_t i = 0; i < runs; ++i) columns.push_back({letter_of(i)});
  TextTable table(columns);
  std::string blocks;
  const std::size_t widest = widest_cell(differences, runs);
  for (const ordered_json& row : differences) {
    std::vector<std::string> cells{row["name"]};
    std::string block = printable(cells[0]) + "\n";
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

}  // namespace trainer
