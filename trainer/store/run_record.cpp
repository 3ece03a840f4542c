// The order of the fields in the file is the order of a reader's questions: what came out, of what, on what.
#include "trainer/store/run_record.hpp"

#include <array>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <string_view>
#include <utility>

#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostRecordBytes = std::uint64_t{1} << 24;

constexpr std::array<std::pair<RunStatus, std::string_view>, 4> kStatusNames{
    {{RunStatus::kRunning, "running"},
     {RunStatus::kFinished, "finished"},
     {RunStatus::kStopped, "stopped"},
     {RunStatus::kFailed, "failed"}}};

Json json_of(const RunRecord& record) {
  Json json;
  json["format_version"] = kRunRecordFormat;
  json["status"] = name_of(record.status);
  json["reason"] = record.reason;
  json["command"] = record.command;
  json["resumed"] = Json::array();
  for (const RunRecord::Resumption& part : record.resumed) {
    json["resumed"].push_back({{"command", part.command}, {"started", part.started}, {"step", part.step}});
  }
  json["model"] = record.model;
  json["seed"] = record.seed;
  json["threads"] = record.threads;
  json["device"] = record.device;
  json["data"] = {{"path", record.data.path},
                  {"fingerprint", record.data.fingerprint},
                  {"train_images", record.data.train_images},
                  {"validation_images", record.data.validation_images},
                  {"test_images", record.data.test_images}};
  json["times"] = {{"started", record.started}, {"ended", record.ended}, {"seconds", record.seconds}};
  json["results"] = record.results;
  json["program_version"] = record.program_version;
  json["commit"] = record.commit;
  json["versions"] = record.versions;
  json["machine"] = record.machine;
  json["recipe"] = record.recipe;
  json["spec_text"] = record.spec_text;
  if (!record.target.is_null()) json["target"] = record.target;
  return json;
}

// Reads fields of an object; an error names the field.
class RecordFields {
 public:
  RecordFields(const std::filesystem::path& path, const Json& json) : path_(path), json_(json) {}

  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(fmt::format("cannot read the run record {}: {}", path_.string(), reason));
  }

  const Json& at(const char* key) const {
    if (!json_.is_object()) refuse(fmt::format("it is not an object with a field '{}'", key));
    const auto found = json_.find(key);
    if (found == json_.end()) refuse(fmt::format("it has no field '{}'", key));
    return *found;
  }

  template <class T>
  void get(const char* key, T& value) const {
    try {
      at(key).get_to(value);
    } catch (const Json::exception& error) {
      refuse(fmt::format("field '{}': {}", key, error.what()));
    }
  }

 private:
  const std::filesystem::path& path_;
  const Json& json_;
};

RunStatus status_of(const RecordFields& fields) {
  std::string text;
  fields.get("status", text);
  for (const auto& [status, name] : kStatusNames)
    if (name == text) return status;
  fields.refuse(fmt::format("unknown status '{}'; one of running, finished, stopped, failed", text));
}

// Copying and writing JSON descends into it, so that a hostile depth would end the program.
void check_depth(std::string_view text, const RecordFields& fields) {
  constexpr int kDeepest = 64;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') ++i;
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > kDeepest) fields.refuse(fmt::format("its values lie deeper than {} in each other", kDeepest));
  }
}

void check_format(const RecordFields& fields) {
  int format = 0;
  fields.get("format_version", format);
  if (format < 1 || format > kRunRecordFormat)
    fields.refuse(fmt::format("its format is {}, this program knows up to {}: use a newer program", format,
                              kRunRecordFormat));
}

}  // namespace

std::string_view name_of(RunStatus status) {
  for (const auto& [known, name] : kStatusNames)
    if (known == status) return name;
  return "unknown";
}

std::string target_name(const RunRecord& record) {
  if (!record.target.is_object()) return "local";
  const auto name = record.target.find("name");
  return name != record.target.end() && name->is_string() ? name->get<std::string>() : "local";
}

bool is_submission(const RunRecord& record) {
  return record.target.is_object() && record.device.empty();
}

std::string iso_time(std::time_t time) {
  std::tm local{};
  localtime_r(&time, &local);
  const long minutes = local.tm_gmtoff / 60;
  const long size = minutes < 0 ? -minutes : minutes;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}{}{:02}:{:02}", local, minutes < 0 ? '-' : '+', size / 60,
                     size % 60);
}

void keep_beginning(RunRecord& record, const RunRecord& earlier, std::uint64_t step) {
  RunRecord::Resumption part{std::move(record.command), std::move(record.started), step};
  record.command = earlier.command;
  record.started = earlier.started;
  record.resumed = earlier.resumed;
  record.resumed.push_back(std::move(part));
}

void write_run_record(const std::filesystem::path& path, const RunRecord& record) {
  write_file_durably(path, to_text(json_of(record), 2) + "\n");
}

nlohmann::ordered_json read_run_record_json(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostRecordBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json json = Json::parse(text, nullptr, false);
  const RecordFields fields(path, json);
  if (!json.is_object()) fields.refuse("it is not a JSON object");
  check_depth(text, fields);
  check_format(fields);
  return json;
}

RunRecord read_run_record(const std::filesystem::path& path) {
  const Json json = read_run_record_json(path);
  const RecordFields fields(path, json);
  RunRecord record;
  record.status = status_of(fields);
  fields.get("reason", record.reason);
  fields.get("command", record.command);
  for (const Json& part : fields.at("resumed")) {
    const RecordFields resumption(path, part);
    RunRecord::Resumption& added = record.resumed.emplace_back();
    resumption.get("command", added.command);
    resumption.get("started", added.started);
    resumption.get("step", added.step);
  }
  fields.get("model", record.model);
  fields.get("seed", record.seed);
  fields.get("threads", record.threads);
  fields.get("program_version", record.program_version);
  fields.get("commit", record.commit);
  fields.get("spec_text", record.spec_text);
  record.device = fields.at("device");
  record.versions = fields.at("versions");
  record.machine = fields.at("machine");
  record.recipe = fields.at("recipe");
  record.results = fields.at("results");
  record.target = json.value("target", Json());
  const RecordFields data(path, fields.at("data"));
  data.get("path", record.data.path);
  data.get("fingerprint", record.data.fingerprint);
  data.get("train_images", record.data.train_images);
  data.get("validation_images", record.data.validation_images);
  data.get("test_images", record.data.test_images);
  const RecordFields times(path, fields.at("times"));
  times.get("started", record.started);
  times.get("ended", record.ended);
  times.get("seconds", record.seconds);
  return record;
}

}  // namespace trainer
