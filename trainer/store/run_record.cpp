// The fields of run.json are in the order of a reader's questions: what came out, of which training, on what machine. JSON has no
// NaN: a loss that is not finite is null.
#include "trainer/store/run_record.hpp"

#include <array>
#include <cmath>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utility>

#include "trainer/system/files.hpp"
#include "trainer/system/json_fields.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostRecordBytes = std::uint64_t{1} << 24;
constexpr std::uint64_t kMostMetricsBytes = std::uint64_t{1} << 30;

constexpr std::array<std::pair<RunStatus, std::string_view>, 4> kStatusNames{
    {{RunStatus::kRunning, "running"},
     {RunStatus::kFinished, "finished"},
     {RunStatus::kStopped, "stopped"},
     {RunStatus::kFailed, "failed"}}};

// Status and format come before them.
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
  fields.later("process", record.process);
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

void check_format(const JsonReader& fields) {
  int format = 0;
  fields("format_version", format);
  if (format < 1 || format > kRunRecordFormat)
    fields.refuse(fmt::format("its format is {}, this program knows up to {}: use a newer program", format,
                              kRunRecordFormat));
}

void loss_field(JsonWriter& fields, const std::string& key, double loss) {
  fields(key.c_str(), loss);
}

void loss_field(const JsonReader& fields, const std::string& key, double& loss) {
  if (fields.at(key.c_str()).is_null())
    loss = std::numeric_limits<double>::quiet_NaN();
  else
    fields(key.c_str(), loss);
}

template <class Fields, class AScore>
void score_fields(Fields& fields, const std::string& split, AScore& score) {
  fields((split + "_accuracy").c_str(), score.accuracy);
  fields.derived((split + "_accuracy_standard_error").c_str(), [&] { return score.standard_error(); });
  loss_field(fields, split + "_loss", score.loss);
}

template <class Fields, class Record>
void epoch_fields(Fields& fields, Record& record) {
  fields("epoch", record.epoch);
  fields("step", record.step);
  fields("images", record.images);
  loss_field(fields, "train_loss", record.train_loss);
  fields.later("train_accuracy", record.train_accuracy);
  score_fields(fields, "test", record.test);
  if (record.validation) score_fields(fields, "validation", *record.validation);
  fields.later("learning_rate", record.learning_rate);
  fields("seconds", record.seconds);
  fields.later("evaluation_seconds", record.evaluation_seconds);
  fields("exchange_seconds", record.exchange_seconds);
  fields.derived("images_per_second", [&] { return record.images_per_second(); });
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
  std::string text = fmt::format("{:%Y-%m-%dT%H:%M:%S%z}", local);  // "+0100", as strftime has it
  return text.insert(text.size() - 2, ":");
}

std::optional<std::time_t> instant_of(std::string text) {
  if (text.size() > 10 && text[10] == ' ') text[10] = 'T';
  for (const std::string_view format : {"%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S",
                                        "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y-%m", "%Y"}) {
    std::tm time{};
    time.tm_mday = 1;
    time.tm_isdst = -1;
    const char* end = strptime(text.c_str(), format.data(), &time);
    if (end == nullptr || *end != '\0') continue;
    std::tm utc = time;
    const std::time_t seconds = timegm(&utc);
    if (utc.tm_mday != time.tm_mday) break;  // 31 February
    return format.ends_with("%z") ? seconds - time.tm_gmtoff : std::mktime(&time);
  }
  return std::nullopt;
}

nlohmann::ordered_json process_json(const std::filesystem::path& folder) {
  std::error_code ignored;
  struct stat status {};
  (void)::stat(folder.c_str(), &status);
  utsname machine{};
  uname(&machine);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return {{"pid", ::getpid()},
          {"host", machine.nodename},
          {"boot_id", boot},
          {"folder", std::filesystem::canonical(folder, ignored).string()},
          {"inode", status.st_ino}};
}

// A container has a name and paths of its own, but its machine's boot_id, and a mounted folder's inode.
bool was_written_here(const RunRecord& record, const std::filesystem::path& folder) {
  const bool told = record.process.is_object();
  const Json& there = told ? record.process : record.machine;
  const Json here = process_json(folder);
  const auto same = [&](const char* key) { return there.contains(key) && there[key] == here[key]; };
  if (!told) return !there.contains("host") || same("host");
  return same("inode") && (same("boot_id") || same("host"));
}

bool was_written_elsewhere(const RunRecord& record, const std::filesystem::path& folder) {
  return record.process.is_object() && record.process.contains("inode") &&
         record.process["inode"] == process_json(folder)["inode"] && !was_written_here(record, folder);
}

void write_run_record(const std::filesystem::path& path, const RunRecord& record) {
  Json json{{"format_version", kRunRecordFormat}, {"status", name_of(record.status)}};
  JsonWriter fields(json);
  record_fields(fields, record);
  write_file_durably(path, to_text(json, 2) + "\n");
}

nlohmann::ordered_json read_run_record_json(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostRecordBytes);
  const std::string name = name_in_errors(path);
  Json json = parsed_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
  check_format(JsonReader(json, name));
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

double Score::standard_error() const {
  return images > 0 ? std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(images)) : 0;
}

nlohmann::ordered_json epoch_json(const EpochRecord& record) {
  Json json = Json::object();
  JsonWriter fields(json);
  epoch_fields(fields, record);
  return json;
}

std::vector<Json> read_metrics(const std::filesystem::path& metrics) {
  std::error_code ignored;
  // Whether a file that cannot be looked at is there is not known: then reading it says why.
  if (std::filesystem::status(metrics, ignored).type() == std::filesystem::file_type::not_found) return {};
  return read_json_lines(metrics, kMostMetricsBytes);
}

std::vector<EpochRecord> read_epochs(const std::filesystem::path& metrics, const RunRecord::DataSet& data) {
  std::vector<EpochRecord> records;
  for (const Json& line : read_metrics(metrics)) {
    const JsonReader fields(line, fmt::format("{}:{}", metrics.string(), records.size() + 1));
    EpochRecord& record = records.emplace_back();
    if (fields.has("validation_accuracy")) record.validation.emplace().images = data.validation_images;
    record.test.images = data.test_images;
    epoch_fields(fields, record);
  }
  return records;
}

}  // namespace trainer
