#include "trainer/report/report_values.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string_view>

#include "models/words.hpp"
#include "trainer/report/report_plots.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kLongestValue = 2000;

std::string bytes_text(double bytes) {
  return bytes < (1 << 30) ? fmt::format("{:.1f} MiB", bytes / (1 << 20))
                           : fmt::format("{:.2f} GiB", bytes / (1 << 30));
}

std::string number_text(const std::string& key, const ordered_json& json) {
  const auto number = json.get<double>();
  const auto ends = [&](std::string_view end) { return key.ends_with(end); };
  const auto has = [&](std::string_view part) { return key.find(part) != std::string::npos; };
  if (ends("bytes")) return bytes_text(number);
  if (has("accuracy")) return fmt::format("{:.2f} %", 100 * number);
  if (has("seconds") && !ends("epochs")) return duration_text(number);
  if (ends("joules")) return fmt::format("{:.1f} J", number);
  if (ends("watts")) return fmt::format("{:.1f} W", number);
  if (json.is_number_unsigned() && !ends("seed")) return grouped(json.get<std::uint64_t>());
  return json.is_number_float() ? fmt::format("{:.6g}", number) : json.dump();
}

std::string text_of(const std::string& key, const ordered_json& json) {
  if (json.is_null()) return "none";
  if (json.is_boolean()) return json.get<bool>() ? "yes" : "no";
  if (json.is_number()) return number_text(key, json);
  std::string text = json.is_string() ? json.get<std::string>() : to_text(json);
  if (text.size() > kLongestValue) text = text.substr(0, kLongestValue) + " ...";
  return text;
}

void append(NamedValues& values, const NamedValues& more) {
  values.insert(values.end(), more.begin(), more.end());
}

}  // namespace

NamedValues values_of(const ordered_json& json, const std::string& prefix) {
  NamedValues values;
  if (json.is_null() || (json.is_object() && json.empty())) return values;
  take_apart(values, prefix, json);
  values.resize(std::min(values.size(), kMostReportValues));
  for (NamedValue& named : values) named.value = text_of(named.name, named.value);
  return values;
}

NamedValues result_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  NamedValues values{{"status", status_word(run)}};
  if (!record.reason.empty()) values.push_back({"reason", record.reason});
  values.push_back({"started", time_text(record.started)});
  values.push_back({"ended", record.ended.empty() ? "-" : time_text(record.ended)});
  if (!record.resumed.empty()) values.push_back({"resumed", fmt::format("{} times", record.resumed.size())});
  append(values, values_of(record.results));
  return values;
}

NamedValues configuration_values(const KnownRun& run) {
  const RunRecord& record = run.record;
  NamedValues values{{"model", record.model},
                     {"seed", std::to_string(record.seed)},
                     {"threads", std::to_string(record.threads)}};
  for (const char* key : {"kind", "name"})
    if (record.device.is_object() && record.device.contains(key))
      append(values, values_of(record.device.at(key), std::string("device.") + key));
  append(values, values_of(record.recipe, "recipe"));
  append(values, {{"data.path", record.data.path},
                  {"data.fingerprint", record.data.fingerprint},
                  {"data.train_images", grouped(record.data.train_images)},
                  {"data.validation_images", grouped(record.data.validation_images)},
                  {"data.test_images", grouped(record.data.test_images)},
                  {"program_version", record.program_version},
                  {"commit", record.commit.empty() ? "-" : record.commit}});
  append(values, values_of(record.versions, "versions"));
  append(values, values_of(record.machine, "machine"));
  return values;
}

std::string time_text(std::string time) {
  if (time.size() < 20 || time[10] != 'T') return time;
  time[10] = ' ';
  return time.insert(19, " ");
}

std::string score_text(const Score& score) {
  if (score.images == 0) return fmt::format("{:.2f} %", 100 * score.accuracy);
  return fmt::format("{:.2f} ± {:.2f} %", 100 * score.accuracy, 100 * score.standard_error());
}

}  // namespace trainer
