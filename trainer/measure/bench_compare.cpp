// A comparison has a row for each network, batch size and precision, and a column for each record.
#include <algorithm>
#include <fmt/ranges.h>

#include "trainer/console/text_table.hpp"
#include "trainer/measure/bench.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

// Whether both have the same network, batch size and precision.
bool is_alike(const BenchResult& a, const BenchResult& b) {
  return a.subject.model == b.subject.model && a.subject.batch == b.subject.batch &&
         a.precision == b.precision;
}

std::string precisions(const BenchRecord& record) {
  std::vector<std::string> words;
  for (const BenchResult& result : record.results)
    if (std::ranges::find(words, result.precision) == words.end()) words.push_back(result.precision);
  return fmt::format("{}", fmt::join(words, ", "));
}

// Throws UsageError with the first difference of two records.
void require_alike(const NamedRecord& first, const NamedRecord& other) {
  const auto refuse = [&](const std::string& difference) {
    throw UsageError(fmt::format("{} and {} cannot be compared: {}; run trainer bench alike on both",
                                 first.name, other.name, difference));
  };
  const auto compare = [&](const std::string& what, const auto& a, const auto& b) {
    if (a != b) refuse(fmt::format("{} {} and {}", what, a, b));
  };
  const BenchSettings &a = first.record.settings, &b = other.record.settings;
  compare("bench version", a.version, b.version);
  if (a.version != kBenchVersion)
    throw UsageError(
        fmt::format("{}: bench version {}, but this program knows {}: compare with a program that knows it",
                    first.name, a.version, kBenchVersion));
  compare("--quick", a.quick, b.quick);
  compare("warm-up steps", a.warmup_steps, b.warmup_steps);
  compare("warm-up seconds", a.warmup_seconds, b.warmup_seconds);
  compare("least seconds of a repeat", a.least_seconds, b.least_seconds);
  compare("repeats", a.repeats, b.repeats);
  compare("images of an epoch", a.epoch_images, b.epoch_images);
  compare("seed", a.seed, b.seed);
  compare("data set", a.data, b.data);
  compare("number of trainings", a.subjects.size(), b.subjects.size());
  for (std::size_t i = 0; i < a.subjects.size(); ++i) {
    const BenchSubject& s = a.subjects[i];
    compare(fmt::format("training {}: network", i + 1), s.model, b.subjects[i].model);
    compare(s.model + ": batch", s.batch, b.subjects[i].batch);
    compare(fmt::format("{}, batch {}: steps", s.model, s.batch), s.steps, b.subjects[i].steps);
  }
  bool common = false;
  for (const BenchResult& x : first.record.results) {
    for (const BenchResult& y : other.record.results) {
      if (!is_alike(x, y)) continue;
      common = true;
      compare(x.subject.model + ": parameters", x.parameters, y.parameters);
      compare(x.subject.model + ": FLOP of an image", x.training_flops, y.training_flops);
    }
  }
  if (common) return;
  compare("precisions", precisions(first.record), precisions(other.record));
  refuse("no network, batch and precision that both have");
}

std::string legend(const std::vector<NamedRecord>& records) {
  std::string text;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const BenchRecord& record = records[i].record;
    const std::string& engine = record.settings.engine;
    const std::string& bits = record.settings.bits;
    text += fmt::format("{}  {} ({}, {}{}{}{})\n", letter_of(i), record.device_name, records[i].name,
                        record.date.substr(0, 10), engine == "auto" ? "" : ", engine " + engine,
                        bits == "fast" ? "" : ", bits " + bits,
                        record.was_busy ? ", OTHER PROGRAMS RAN when it was started" : "");
  }
  return text;
}

}  // namespace

void require_comparable(const std::vector<NamedRecord>& records) {
  for (std::size_t i = 1; i < records.size(); ++i) require_alike(records[0], records[i]);
}

ordered_json comparison_json(const std::vector<NamedRecord>& records) {
  ordered_json json{{"kind", "bench comparison"}, {"records", ordered_json::array()}};
  std::vector<const BenchResult*> rows;  // the first result of each
  for (const auto& [name, record] : records) {
    json["records"].push_back({{"file", name},
                               {"device_name", record.device_name},
                               {"date", record.date},
                               {"engine", record.settings.engine},
                               {"bits", record.settings.bits},
                               {"was_busy", record.was_busy}});
    for (const BenchResult& result : record.results)
      if (std::ranges::none_of(rows, [&](const BenchResult* row) { return is_alike(*row, result); }))
        rows.push_back(&result);
  }
  for (const BenchResult* row : rows) {
    ordered_json seconds = ordered_json::array(), speed = ordered_json::array();
    for (const auto& [name, record] : records) {
      const auto own = std::ranges::find_if(
          record.results, [&](const BenchResult& result) { return is_alike(*row, result); });
      const bool known = own != record.results.end();
      seconds.push_back(known ? ordered_json(epoch_seconds(*own, record.settings.epoch_images).median)
                              : nullptr);
      const bool both = known && !seconds[0].is_null();
      speed.push_back(both ? ordered_json(seconds[0].get<double>() / seconds.back().get<double>()) : nullptr);
    }
    json["rows"].push_back({{"model", row->subject.model},
                            {"batch", row->subject.batch},
                            {"precision", row->precision},
                            {"epoch_seconds", seconds},
                            {"speed", speed}});
  }
  return json;
}

std::string comparison_table(const std::vector<NamedRecord>& records) {
  std::vector<TableColumn> columns{{"network"}, {">batch"}, {"precision"}};
  for (std::size_t i = 0; i < records.size(); ++i)
    columns.push_back({fmt::format(">{}: epoch{}", letter_of(i), i > 0 ? ", speed" : "")});
  TextTable table(columns);
  const ordered_json json = comparison_json(records);
  for (const ordered_json& row : json["rows"]) {
    std::vector<std::string> cells{row["model"], row["batch"].dump(), row["precision"]};
    for (std::size_t i = 0; i < records.size(); ++i) {
      const ordered_json &seconds = row["epoch_seconds"][i], &speed = row["speed"][i];
      cells.push_back(seconds.is_null() ? "-" : fmt::format("{:#.4g} s", seconds.get<double>()));
      if (i > 0 && !speed.is_null()) cells.back() += fmt::format("  {:.3g}x", speed.get<double>());
    }
    table.add(std::move(cells));
  }
  return legend(records) + table.text(kWideGap) + "epoch: median; speed: how many times as fast as A\n";
}

}  // namespace trainer
