// One row a network, batch and precision; one column a record.
#include <algorithm>
#include <fmt/format.h>

#include "trainer/console/text_table.hpp"
#include "trainer/measure/bench_record.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

struct Row {
  std::string model;
  int batch = 0;
  std::string precision;
  std::vector<const BenchResult*> results;  // one a record; null where it has none

  [[nodiscard]] bool is_of(const BenchResult& result) const {
    return result.subject.model == model && result.subject.batch == batch && result.precision == precision;
  }
};

std::vector<Row> rows_of(const std::vector<NamedRecord>& records) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < records.size(); ++i) {
    for (const BenchResult& result : records[i].record.results) {
      auto row = std::ranges::find_if(rows, [&](const Row& row) { return row.is_of(result); });
      if (row == rows.end())
        row = rows.insert(row, {result.subject.model, result.subject.batch, result.precision,
                                std::vector<const BenchResult*>(records.size())});
      row->results[i] = &result;
    }
  }
  return rows;
}

// Seconds of an epoch in each record, and how many times as fast as the first one it is: null where there is none.
struct Times {
  std::optional<double> seconds, speed;
};

Times times_of(const Row& row, std::size_t record, std::uint64_t epoch_images) {
  const auto seconds = [&](const BenchResult* result) {
    return result == nullptr ? std::nullopt : std::optional(epoch_seconds(*result, epoch_images).median);
  };
  const auto own = seconds(row.results[record]), first = seconds(row.results[0]);
  return {own, own && first ? std::optional(*first / *own) : std::nullopt};
}

// The first record and another one: what is the first difference?
class Differences {
 public:
  Differences(const std::vector<NamedRecord>& records, std::size_t other)
      : records_(records), other_(other), a_(records[0]), b_(records[other]) {}

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
    for (const Row& row : rows_of(records_)) {
      const BenchResult *a = row.results[0], *b = row.results[other_];
      if (a == nullptr || b == nullptr) continue;
      common = true;
      compare(row.model + ": parameters", a->parameters, b->parameters);
      compare(row.model + ": FLOP of an image", a->training_flops, b->training_flops);
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

  const std::vector<NamedRecord>& records_;
  std::size_t other_;
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

}  // namespace

void require_comparable(const std::vector<NamedRecord>& records) {
  for (std::size_t i = 1; i < records.size(); ++i) Differences(records, i).compare_settings();
  const int version = records[0].record.settings.version;
  if (version != kBenchVersion) {
    throw UsageError(
        fmt::format("{}: bench version {}, but this program knows {}: compare with a program that "
                    "knows it",
                    records[0].name, version, kBenchVersion));
  }
  for (std::size_t i = 1; i < records.size(); ++i) Differences(records, i).compare_results();
}

// "2.712 s", and from the second record on its speed: "0.01x".
std::string comparison_table(const std::vector<NamedRecord>& records) {
  std::vector<TableColumn> columns{{"network"}, {">batch"}, {"precision"}};
  for (std::size_t i = 0; i < records.size(); ++i)
    columns.push_back({fmt::format(">{}: epoch{}", letter_of(i), i > 0 ? ", speed" : "")});
  TextTable table(std::move(columns));
  for (const Row& row : rows_of(records)) {
    std::vector<std::string> cells{row.model, std::to_string(row.batch), row.precision};
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto [seconds, speed] = times_of(row, i, records[0].record.settings.epoch_images);
      cells.push_back(seconds ? text_of(seconds, "{:#.4g} s") : "-");
      if (i > 0 && speed) cells.back() += text_of(speed, "  {:.3g}x");
    }
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
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto [seconds, speed] = times_of(row, i, records[0].record.settings.epoch_images);
      line["epoch_seconds"].push_back(json_of(seconds));
      line["speed"].push_back(json_of(speed));
    }
    json["rows"].push_back(line);
  }
  return json;
}

}  // namespace trainer
