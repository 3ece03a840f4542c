// One row a network, batch and precision; one column a record.
#include "trainer/measure/bench_compare.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "trainer/console/text_table.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

struct Row {
  std::string model;
  int batch = 0;
  std::string precision;
  bool operator==(const Row&) const = default;
};

Row row_of(const BenchResult& result) {
  return {result.subject.model, result.subject.batch, result.precision};
}

const BenchResult* find(const BenchRecord& record, const Row& row) {
  for (const BenchResult& result : record.results)
    if (row_of(result) == row) return &result;
  return nullptr;
}

std::vector<Row> rows_of(const std::vector<NamedRecord>& records) {
  std::vector<Row> rows;
  for (const NamedRecord& named : records) {
    for (const BenchResult& result : named.record.results)
      if (std::find(rows.begin(), rows.end(), row_of(result)) == rows.end()) rows.push_back(row_of(result));
  }
  return rows;
}

// A pair of records and their first difference.
class Differences {
 public:
  Differences(const NamedRecord& a, const NamedRecord& b) : a_(a), b_(b) {}

  void compare(const std::string& what, const auto& a, const auto& b) const {
    if (a != b) refuse(fmt::format("{} {} and {}", what, a, b));
  }
  [[noreturn]] void refuse(const std::string& difference) const {
    throw UsageError(fmt::format("{} and {} cannot be compared: {}; run trainer bench alike on both", a_.name,
                                 b_.name, difference));
  }

  void compare_settings() const {
    const BenchSettings& a = a_.record.settings;
    const BenchSettings& b = b_.record.settings;
    compare("bench version", a.version, b.version);
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
  }

  void compare_results() const {
    bool common = false;
    for (const BenchResult& result : a_.record.results) {
      const BenchResult* other = find(b_.record, row_of(result));
      if (other == nullptr) continue;
      common = true;
      const std::string model = result.subject.model;
      compare(model + ": parameters", result.parameters, other->parameters);
      compare(model + ": FLOP of an image", result.training_flops, other->training_flops);
    }
    if (!common) compare("precisions", precisions(a_), precisions(b_));
    if (!common) refuse("no network, batch and precision that both have");
  }

 private:
  static std::string precisions(const NamedRecord& named) {
    std::vector<std::string> words;
    for (const BenchResult& result : named.record.results)
      if (std::find(words.begin(), words.end(), result.precision) == words.end())
        words.push_back(result.precision);
    return fmt::format("{}", fmt::join(words, ", "));
  }

  const NamedRecord& a_;
  const NamedRecord& b_;
};

std::string legend(const std::vector<NamedRecord>& records) {
  std::string text;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const BenchRecord& record = records[i].record;
    const std::string& engine = record.settings.engine;
    text += fmt::format("{}  {} ({}, {}{}{})\n", letter_of(i), record.device_name, records[i].name,
                        record.date.substr(0, 10), engine == "auto" ? "" : ", engine " + engine,
                        record.was_busy ? ", OTHER PROGRAMS RAN when it was started" : "");
  }
  return text;
}

double seconds_of(const BenchRecord& record, const BenchResult& result) {
  return epoch_seconds(result, record.settings.epoch_images).median;
}

// "2.712 s", and from the second record on its speed: "0.01x".
std::string cell(const std::vector<NamedRecord>& records, std::size_t index, const Row& row) {
  const BenchRecord& record = records[index].record;
  const BenchResult* result = find(record, row);
  if (result == nullptr) return "-";
  const double seconds = seconds_of(record, *result);
  const BenchResult* first = find(records[0].record, row);
  if (index == 0 || first == nullptr) return fmt::format("{:#.4g} s", seconds);
  return fmt::format("{:#.4g} s  {:.3g}x", seconds, seconds_of(records[0].record, *first) / seconds);
}

}  // namespace

void require_comparable(const std::vector<NamedRecord>& records) {
  for (std::size_t i = 1; i < records.size(); ++i) Differences(records[0], records[i]).compare_settings();
  const int version = records[0].record.settings.version;
  if (version != kBenchVersion) {
    throw UsageError(
        fmt::format("{}: bench version {}, but this program knows {}: compare with a program that "
                    "knows it",
                    records[0].name, version, kBenchVersion));
  }
  for (std::size_t i = 1; i < records.size(); ++i) Differences(records[0], records[i]).compare_results();
}

std::string comparison_table(const std::vector<NamedRecord>& records) {
  std::vector<TableColumn> columns{{"network"}, {"batch", TableColumn::Align::right}, {"precision"}};
  for (std::size_t i = 0; i < records.size(); ++i)
    columns.push_back(
        {fmt::format("{}: epoch{}", letter_of(i), i > 0 ? ", speed" : ""), TableColumn::Align::right});
  TextTable table(std::move(columns));
  for (const Row& row : rows_of(records)) {
    std::vector<std::string> cells{row.model, std::to_string(row.batch), row.precision};
    for (std::size_t i = 0; i < records.size(); ++i) cells.push_back(cell(records, i, row));
    table.add(std::move(cells));
  }
  return legend(records) + table.text(kWideGap) + "epoch: median; speed: how many times as fast as A\n";
}

ordered_json comparison_json(const std::vector<NamedRecord>& records) {
  ordered_json json{{"kind", "bench comparison"}, {"records", ordered_json::array()}};
  for (const NamedRecord& named : records) {
    json["records"].push_back({{"file", named.name},
                               {"device_name", named.record.device_name},
                               {"date", named.record.date},
                               {"engine", named.record.settings.engine},
                               {"was_busy", named.record.was_busy}});
  }
  for (const Row& row : rows_of(records)) {
    ordered_json line{{"model", row.model}, {"batch", row.batch}, {"precision", row.precision}};
    const BenchResult* first = find(records[0].record, row);
    for (const NamedRecord& named : records) {
      const BenchResult* result = find(named.record, row);
      line["epoch_seconds"].push_back(result ? ordered_json(seconds_of(named.record, *result)) : nullptr);
      line["speed"].push_back(result && first ? ordered_json(seconds_of(records[0].record, *first) /
                                                             seconds_of(named.record, *result))
                                              : nullptr);
    }
    json["rows"].push_back(line);
  }
  return json;
}

}  // namespace trainer
