// To JSON and back. A record comes from somebody else's machine: every field is checked.
#include "trainer/measure/bench_record.hpp"

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
  fields.from_zero("batch", subject.batch);
  fields("steps", subject.steps);
}

template <class Fields, class Settings>
void settings_fields(Fields& fields, Settings& settings) {
  fields("quick", settings.quick);
  fields("warmup_steps", settings.warmup_steps);
  fields.from_zero("warmup_seconds", settings.warmup_seconds);
  fields.from_zero("least_seconds", settings.least_seconds);
  fields.from_zero("repeats", settings.repeats);
  fields.positive("epoch_images", settings.epoch_images);
  fields("seed", settings.seed);
  fields("data", settings.data);
  fields.later("engine", settings.engine);
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
  fields.from_zero("peak_flops_per_second", result.peak.per_second);
  fields("peak_source", result.peak.source);
  fields.derived("epoch_seconds", [&] {
    const Spread epoch = epoch_seconds(result, epoch_images);
    return Json{{"median", epoch.median}, {"min", epoch.least}, {"max", epoch.most}};
  });
  fields.derived("images_per_second", [&] { return images_per_second(result); });
  fields.derived("share_of_peak",
                 [&] { return result.peak.per_second > 0 ? Json(share_of_peak(result)) : Json(nullptr); });
  const auto repeat_fields = [](auto& inner, auto& repeat) {
    inner("steps", repeat.steps);
    inner.positive("images", repeat.images);
    inner.positive("seconds", repeat.seconds);
  };
  fields.list("repeats", result.repeats, repeat_fields, 1);
}

// What every version's record begins with, after its kind.
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
  fields.from_zero("seconds", record.seconds);
  fields("machine", record.machine);
  fields("device", record.device);
  fields("versions", record.versions);
  fields("commit", record.commit);
}

}  // namespace

Json to_json(const BenchRecord& record) {
  Json json{{"kind", "bench"}};
  JsonWriter fields(json);
  head_fields(fields, record);
  record_fields(fields, record);
  return json;
}

void write_bench_record(const std::filesystem::path& path, const BenchRecord& record) {
  write_file_durably(path, to_text(to_json(record), 2) + "\n");
}

BenchRecord read_bench_record(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostBenchBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Json json = Json::parse(text, nullptr, false);
  const JsonReader fields(json, "the bench record " + path.string(),
                          "write it again with trainer bench --out");
  std::string kind;
  fields("kind", kind);
  fields.require(kind == "bench", "kind", "'bench'");
  BenchRecord record;
  head_fields(fields, record);
  if (record.settings.version == kBenchVersion) record_fields(fields, record);
  return record;
}

}  // namespace trainer
