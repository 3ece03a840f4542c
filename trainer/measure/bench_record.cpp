// A record is written to JSON, read back and printed as a table. It may come from somebody else's machine, so every field is
// checked.
#include <fmt/format.h>

#include "trainer/measure/bench.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/json_fields.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostBenchBytes = std::uint64_t{1} << 22;

template <class Fields, class Subject>
void subject_fields(Fields& fields, Subject& subject) {
  fields("model", subject.model);
  fields("batch", subject.batch, NumbersFrom::zero);
  fields("steps", subject.steps);
}

template <class Fields, class Settings>
void settings_fields(Fields& fields, Settings& settings) {
  fields("quick", settings.quick);
  fields("warmup_steps", settings.warmup_steps);
  fields("warmup_seconds", settings.warmup_seconds, NumbersFrom::zero);
  fields("least_seconds", settings.least_seconds, NumbersFrom::zero);
  fields("repeats", settings.repeats, NumbersFrom::zero);
  fields("epoch_images", settings.epoch_images, NumbersFrom::above_zero);
  fields("seed", settings.seed);
  fields("data", settings.data);
  fields.later("engine", settings.engine);
  fields.later("bits", settings.bits);
  fields.list(
      "subjects", settings.subjects, [](auto& inner, auto& subject) { subject_fields(inner, subject); }, 1);
}

template <class Fields, class Result>
void result_fields(Fields& fields, Result& result, std::uint64_t epoch_images) {
  subject_fields(fields, result.subject);
  fields("precision", result.precision);
  fields("parameters", result.parameters);
  fields("training_flops_per_image", result.training_flops);
  fields("memory_bytes", result.memory_bytes);
  fields("peak_flops_per_second", result.peak.per_second, NumbersFrom::zero);
  fields("peak_source", result.peak.source);
  fields.derived("epoch_seconds", [&] {
    const Spread epoch = epoch_seconds(result, epoch_images);
    return Json{{"median", epoch.median}, {"min", epoch.least}, {"max", epoch.most}};
  });
  fields.derived("images_per_second", [&] { return images_per_second(result); });
  fields.derived("share_of_peak", [&] { return json_of(fraction_of_peak(result)); });
  const auto repeat_fields = [](auto& inner, auto& repeat) {
    inner("steps", repeat.steps);
    inner("images", repeat.images, NumbersFrom::above_zero);
    inner("seconds", repeat.seconds, NumbersFrom::above_zero);
  };
  fields.list("repeats", result.repeats, repeat_fields, 1);
}

// The fields after the kind, which the records of all versions have.
template <class Fields, class Record>
void head_fields(Fields& fields, Record& record) {
  fields("bench_version", record.settings.version);
  fields("date", record.date);
  fields("device_name", record.device_name);
}

template <class Fields, class Record>
void record_fields(Fields& fields, Record& record) {
  fields("command", record.command);
  fields.object("settings", [&](auto& inner) { settings_fields(inner, record.settings); });
  const auto one_result = [&](auto& inner, auto& result) {
    result_fields(inner, result, record.settings.epoch_images);
  };
  fields.list("results", record.results, one_result, 1);
  fields("was_busy", record.was_busy);
  fields("before", record.before);
  fields("after", record.after);
  fields("peak_process_bytes", record.peak_process_bytes);
  fields("seconds", record.seconds, NumbersFrom::zero);
  fields("machine", record.machine);
  fields("device", record.device);
  fields("versions", record.versions);
  fields("commit", record.commit);
}

double mebibytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

std::string four_digits(double value) {
  return fmt::format("{:#.4g}", value);
}

std::string row(const BenchResult& result, std::uint64_t epoch_images) {
  const Spread epoch = epoch_seconds(result, epoch_images);
  const auto fraction = fraction_of_peak(result);
  const double flops = images_per_second(result) * static_cast<double>(result.training_flops);
  return fmt::format("{:<16} {:>5}  {:<9} {:>9} {:<21} {:>10.0f} {:>8.0f} {:>8} {:>6.0f} MiB\n",
                     result.subject.model, result.subject.batch, result.precision, four_digits(epoch.median),
                     fmt::format("({} to {})", four_digits(epoch.least), four_digits(epoch.most)),
                     images_per_second(result), flops / 1e9,
                     fraction ? fmt::format("{:.1f} %", 100 * *fraction) : kUnknown,
                     mebibytes(result.memory_bytes));
}

// There is a line for each precision.
std::string peak_lines(const std::vector<BenchResult>& results) {
  std::string text;
  std::string last;
  for (const BenchResult& result : results) {
    if (result.precision == last) continue;
    last = result.precision;
    const std::string peak =
        result.peak.per_second > 0
            ? fmt::format("{:.0f} GFLOP/s ({})", result.peak.per_second / 1e9, result.peak.source)
            : kUnknown;
    text += report_line("peak " + last, peak);
  }
  return text;
}

}  // namespace

Json to_json(const BenchRecord& record) {
  Json json{{"kind", "bench"}};
  JsonWriter fields(json);
  head_fields(fields, record);
  record_fields(fields, record);
  return json;
}

void write_bench_record(const std::filesystem::path& path, const Json& record) {
  write_file_durably(path, to_text(record, 2) + "\n");
}

BenchRecord read_bench_record(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostBenchBytes);
  const std::string name = "the bench record " + path.string();
  const Json json = parsed_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
  const JsonReader fields(json, name, "write it again with trainer bench --out");
  std::string kind;
  fields("kind", kind);
  fields.require(kind == "bench", "kind", "'bench'");
  BenchRecord record;
  head_fields(fields, record);
  if (record.settings.version == kBenchVersion) record_fields(fields, record);
  return record;
}

std::string bench_head(const BenchSettings& settings) {
  std::string steps;
  for (const BenchSubject& s : settings.subjects)
    steps += fmt::format("{}{} {}: {}", steps.empty() ? "" : ", ", s.model, s.batch, s.steps);
  return report_line("bench",
                     fmt::format("version {}{}, {} repeats, training without evaluation", settings.version,
                                 settings.quick ? " quick" : "", settings.repeats)) +
         report_line("epoch",
                     fmt::format("{} images, scaled from the timed steps (or as many again for {:g} s)",
                                 settings.epoch_images, settings.least_seconds)) +
         report_line("steps", steps);
}

std::string bench_table(const BenchRecord& record) {
  std::string text =
      fmt::format("{:<16} {:>5}  {:<9} {:>9} {:<21} {:>10} {:>8} {:>8} {:>10}\n", "network", "batch",
                  "precision", "epoch s", "(min to max)", "images/s", "GFLOP/s", "of peak", "memory");
  for (const BenchResult& result : record.results) text += row(result, record.settings.epoch_images);
  text += peak_lines(record.results);
  text += report_line(
      "memory", fmt::format("{:.0f} MiB at most in this process", mebibytes(record.peak_process_bytes)));
  return text;
}

}  // namespace trainer
