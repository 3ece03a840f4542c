// The order of the fields in the file is the order of a reader's questions: what came out, of what, on what.
#include "trainer/store/run_record.hpp"

#include <array>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <string_view>
#include <utility>

#include "trainer/system/files.hpp"
#include "trainer/system/json_fields.hpp"
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

// Status and format stand before them.
template <class Fields, class Record>
void record_fields(Fields& fields, Record& record) {
  fields("reason", record.reason);
  fields("command", record.command);
  fields.list("resumed", record.resumed, [](auto& part_fields, auto& part) {
    part_fields("command", part.command);
    part_fields("started", part.started);
    part_fields("step", part.step);
  });
  fields("model", record.model);
  fields("seed", record.seed);
  fields("threads", record.threads);
  fields("device", record.device);
  fields.object("data", [&](auto& data) {
    data("path", record.data.path);
    data("fingerprint", record.data.fingerprint);
    data("train_images", record.data.train_images);
    data("validation_images", record.data.validation_images);
    data("test_images", record.data.test_images);
  });
  fields.object("times", [&](auto& times) {
    times("started", record.started);
    times("ended", record.ended);
    times("seconds", record.seconds);
  });
  fields("results", record.results);
  fields("program_version", record.program_version);
  fields("commit", record.commit);
  fields("versions", record.versions);
  fields("machine", record.machine);
  fields("recipe", record.recipe);
  fields("spec_text", record.spec_text);
  fields.later("target", record.target);
}

std::string name_in_errors(const std::filesystem::path& path) {
  return "the run record " + path.string();
}

RunStatus status_of(const JsonReader& fields) {
  std::string text;
  fields("status", text);
  for (const auto& [status, name] : kStatusNames)
    if (name == text) return status;
  fields.refuse(fmt::format("unknown status '{}'; one of running, finished, stopped, failed", text));
}

// Copying and writing JSON descends into it, so that a hostile depth would end the program.
void check_depth(std::string_view text, const JsonReader& fields) {
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

void check_format(const JsonReader& fields) {
  int format = 0;
  fields("format_version", format);
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

void keep_earlier_epochs(RunRecord& record, const RunRecord& earlier, std::uint64_t step) {
  RunRecord::Resumption part{std::move(record.command), std::move(record.started), step};
  record.command = earlier.command;
  record.started = earlier.started;
  record.resumed = earlier.resumed;
  record.resumed.push_back(std::move(part));
}

void write_run_record(const std::filesystem::path& path, const RunRecord& record) {
  Json json{{"format_version", kRunRecordFormat}, {"status", name_of(record.status)}};
  JsonWriter fields(json);
  record_fields(fields, record);
  write_file_durably(path, to_text(json, 2) + "\n");
}

nlohmann::ordered_json read_run_record_json(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostRecordBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json json = Json::parse(text, nullptr, false);
  const JsonReader fields(json, name_in_errors(path));
  check_depth(text, fields);
  check_format(fields);
  return json;
}

RunRecord read_run_record(const std::filesystem::path& path) {
  const Json json = read_run_record_json(path);
  const JsonReader fields(json, name_in_errors(path));
  RunRecord record;
  record.status = status_of(fields);
  record_fields(fields, record);
  return record;
}

}  // namespace trainer
