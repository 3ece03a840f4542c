// To JSON and back. A record comes from somebody else's machine: every field is checked.
#include "trainer/measure/bench_record.hpp"

#include <cmath>
#include <fmt/format.h>

#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostBenchBytes = std::uint64_t{1} << 22;

Json settings_json(const BenchSettings& settings) {
  Json json{{"quick", settings.quick},
            {"warmup_steps", settings.warmup_steps},
            {"warmup_seconds", settings.warmup_seconds},
            {"least_seconds", settings.least_seconds},
            {"repeats", settings.repeats},
            {"epoch_images", settings.epoch_images},
            {"seed", settings.seed},
            {"data", settings.data},
            {"engine", settings.engine},
            {"subjects", Json::array()}};
  for (const BenchSubject& s : settings.subjects)
    json["subjects"].push_back({{"model", s.model}, {"batch", s.batch}, {"steps", s.steps}});
  return json;
}

Json result_json(const BenchResult& result, std::uint64_t epoch_images) {
  const Spread epoch = epoch_seconds(result, epoch_images);
  const bool peak_known = result.peak.per_second > 0;
  Json json{{"model", result.subject.model},
            {"batch", result.subject.batch},
            {"steps", result.subject.steps},
            {"precision", result.precision},
            {"parameters", result.parameters},
            {"training_flops_per_image", result.training_flops},
            {"memory_bytes", result.memory_bytes},
            {"peak_flops_per_second", result.peak.per_second},
            {"peak_source", result.peak.source},
            {"epoch_seconds", {{"median", epoch.median}, {"min", epoch.least}, {"max", epoch.most}}},
            {"images_per_second", images_per_second(result)},
            {"share_of_peak", peak_known ? Json(share_of_peak(result)) : Json(nullptr)},
            {"repeats", Json::array()}};
  for (const BenchRepeat& repeat : result.repeats) {
    json["repeats"].push_back(
        {{"steps", repeat.steps}, {"images", repeat.images}, {"seconds", repeat.seconds}});
  }
  return json;
}

// A reason why a file is no record.
class Damage : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One level of a record; an error names the field.
class BenchFields {
 public:
  explicit BenchFields(const Json& json) : json_(json) {
    if (!json.is_object()) throw Damage("it has something else where an object should be");
  }

  bool has(const char* key) const { return json_.contains(key); }
  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) throw Damage(fmt::format("it has no field '{}'", key));
    return *found;
  }
  const Json& list(const char* key) const {
    const Json& value = at(key);
    if (!value.is_array() || value.empty() || value.size() > 1000)
      throw Damage(fmt::format("field '{}' is not a list of 1 to 1000", key));
    return value;
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) throw Damage(fmt::format("field '{}' is not a text", key));
    return at(key).get<std::string>();
  }
  bool flag(const char* key) const {
    if (!at(key).is_boolean()) throw Damage(fmt::format("field '{}' is not true or false", key));
    return at(key).get<bool>();
  }
  double number(const char* key) const {
    if (!at(key).is_number()) throw Damage(fmt::format("field '{}' is not a number", key));
    const double value = at(key).get<double>();
    if (!std::isfinite(value) || value < 0)
      throw Damage(fmt::format("field '{}' is {}, not a number from 0 on", key, value));
    return value;
  }
  std::uint64_t count(const char* key) const {
    if (!at(key).is_number_unsigned()) throw Damage(fmt::format("field '{}' is not a whole number", key));
    return at(key).get<std::uint64_t>();
  }
  int small_count(const char* key) const {
    const std::uint64_t value = count(key);
    if (value > 1'000'000'000) throw Damage(fmt::format("field '{}' is {}: too large", key, value));
    return static_cast<int>(value);
  }
  double positive(const char* key) const {
    const double value = number(key);
    if (value <= 0) throw Damage(fmt::format("field '{}' is 0", key));
    return value;
  }

 private:
  const Json& json_;
};

BenchSubject read_subject(const BenchFields& fields) {
  return {fields.text("model"), fields.small_count("batch"), fields.count("steps")};
}

BenchSettings read_settings(const BenchFields& fields, int version) {
  BenchSettings settings;
  settings.version = version;
  settings.quick = fields.flag("quick");
  settings.warmup_steps = fields.count("warmup_steps");
  settings.warmup_seconds = fields.number("warmup_seconds");
  settings.least_seconds = fields.number("least_seconds");
  settings.repeats = fields.small_count("repeats");
  fields.positive("epoch_images");
  settings.epoch_images = fields.count("epoch_images");
  settings.seed = fields.count("seed");
  settings.data = fields.text("data");
  if (fields.has("engine")) settings.engine = fields.text("engine");
  for (const Json& subject : fields.list("subjects"))
    settings.subjects.push_back(read_subject(BenchFields(subject)));
  return settings;
}

BenchResult read_result(const BenchFields& fields) {
  BenchResult result;
  result.subject = read_subject(fields);
  result.precision = fields.text("precision");
  result.parameters = fields.count("parameters");
  result.training_flops = fields.count("training_flops_per_image");
  result.memory_bytes = fields.count("memory_bytes");
  result.peak = {fields.number("peak_flops_per_second"), fields.text("peak_source")};
  for (const Json& json : fields.list("repeats")) {
    const BenchFields repeat(json);
    repeat.positive("images");
    result.repeats.push_back({repeat.count("steps"), repeat.count("images"), repeat.positive("seconds")});
  }
  return result;
}

BenchRecord read_record(const BenchFields& fields) {
  BenchRecord record;
  if (fields.text("kind") != "bench") throw Damage("its kind is not 'bench'");
  record.settings.version = fields.small_count("bench_version");
  record.date = fields.text("date");
  record.device_name = fields.text("device_name");
  if (record.settings.version != kBenchVersion) return record;
  record.settings = read_settings(BenchFields(fields.at("settings")), record.settings.version);
  for (const Json& result : fields.list("results"))
    record.results.push_back(read_result(BenchFields(result)));
  record.was_busy = fields.flag("was_busy");
  record.peak_process_bytes = fields.count("peak_process_bytes");
  record.commit = fields.text("commit");
  record.seconds = fields.number("seconds");
  for (const Json& word : fields.list("command")) {
    if (!word.is_string()) throw Damage("field 'command' is not a list of texts");
    record.command.push_back(word);
  }
  record.before = fields.at("before");
  record.after = fields.at("after");
  record.device = fields.at("device");
  record.machine = fields.at("machine");
  record.versions = fields.at("versions");
  return record;
}

}  // namespace

Json to_json(const BenchRecord& record) {
  Json json{{"kind", "bench"},           {"bench_version", record.settings.version},
            {"date", record.date},       {"device_name", record.device_name},
            {"command", record.command}, {"settings", settings_json(record.settings)},
            {"results", Json::array()}};
  for (const BenchResult& result : record.results)
    json["results"].push_back(result_json(result, record.settings.epoch_images));
  json["was_busy"] = record.was_busy;
  json["before"] = record.before;
  json["after"] = record.after;
  json["peak_process_bytes"] = record.peak_process_bytes;
  json["seconds"] = record.seconds;
  json["machine"] = record.machine;
  json["device"] = record.device;
  json["versions"] = record.versions;
  json["commit"] = record.commit;
  return json;
}

void write_bench_record(const std::filesystem::path& path, const BenchRecord& record) {
  write_file_durably(path, to_text(to_json(record), 2) + "\n");
}

BenchRecord read_bench_record(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostBenchBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  try {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) throw Damage("it is not a JSON object");
    return read_record(BenchFields(json));
  } catch (const Damage& damage) {
    throw FileError(
        fmt::format("cannot read the bench record {}: {}; write it again with trainer bench --out",
                    path.string(), damage.what()));
  }
}

}  // namespace trainer
