#include "trainer/store/registry.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <functional>
#include <new>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/words.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/json_fields.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kStagesName = "stages.json";
constexpr const char* kRetired = "retired";
constexpr const char* kUnfinished = ".new";  // the version that is being made, or that a kill has left
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

fs::path registry_folder(const RunEnvironment& environment) {
  return runs_folder(environment) / kRegistryName;
}

ordered_json read_json(const fs::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostBytes);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  ordered_json json = ordered_json::parse(text, text + bytes.size(), nullptr, false);
  if (!json.is_object()) throw FileError(fmt::format("{}: not a JSON object: restore it", path.string()));
  return json;
}

ordered_json read_stages(const fs::path& folder) {
  const fs::path path = folder / kStagesName;
  if (!fs::exists(path)) return ordered_json::object();
  ordered_json stages = read_json(path);
  for (const ordered_json& stage : stages)
    if (stage != "staging" && stage != "production" && stage != kRetired)
      throw FileError(fmt::format(
          "{}: a stage is staging, production or retired: restore the file, or remove it: then no "
          "version has one",
          path.string()));
  return stages;
}

std::optional<int> number_of(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
  return number;
}

void read_version(RegisteredVersion& version) {
  const fs::path path = version.folder / kVersionName;
  const ordered_json json = read_json(path);
  const JsonReader fields(json, path.string(), "restore it");
  fields("run", version.run);
  fields("promoted", version.promoted);
  fields("model", version.model);
  fields("sha256", version.sha256);
  if (fields.at("accuracy").is_number()) version.accuracy = fields.at("accuracy").get<double>();
}

std::vector<RegisteredVersion> versions_in(const fs::path& folder) {
  std::vector<RegisteredVersion> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string number = entry->path().filename().string();
    if (!number_of(number)) continue;
    RegisteredVersion& one = found.emplace_back();
    one.name = folder.filename().string();
    one.version = *number_of(number);
    one.folder = entry->path();
    try {
      one.stage = read_stages(folder).value(number, "");
      read_version(one);
    } catch (const FileError& why) {
      one.problem = why.what();
    }
  }
  std::ranges::sort(found, std::greater(), &RegisteredVersion::version);
  return found;
}

bool is_name(const std::string& text) {
  const auto is_good = [](unsigned char c) {
    return c < 128 && (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.');
  };
  return !text.empty() && text.size() <= 64 && std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
         std::ranges::all_of(text, is_good) && text != "last" && !text.ends_with(".safetensors");
}

// The name's folder, locked until the object ends. A file system without locks is accepted.
Descriptor locked(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  Descriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (error || !lock.is_open() || ::access(folder.c_str(), W_OK) != 0)
    throw FileError(fmt::format("cannot write in {}: {}", folder.string(),
                                reason_and_next_step(error ? error.value() : errno)));
  ::flock(lock.number(), LOCK_EX);
  return lock;
}

// Any number of versions is retired; of the other stages each has one version. An empty stage is none.
void set_stage(const fs::path& folder, int version, const std::string& stage) {
  ordered_json stages = read_stages(folder);
  stages.erase(std::to_string(version));
  for (auto one = stages.begin(); one != stages.end();)
    one = one.value() == stage && stage != kRetired ? stages.erase(one) : std::next(one);
  if (!stage.empty()) stages[std::to_string(version)] = stage;
  write_file_durably(folder / kStagesName, to_text(stages, 2) + "\n");
}

void copy_read_only(const fs::path& from, const fs::path& to) {
  const std::vector<std::byte> bytes = read_file(from, kMostBytes);
  const std::span<const std::byte> part(bytes);
  write_file_durably(to, std::span(&part, 1));
  ::chmod(to.c_str(), 0444);
}

std::string hash_of(const fs::path& model) {
  return sha256_hex(read_file(model, kMostBytes));
}

// Copies the run under a hidden name and renames that.
void make_version(const fs::path& run, const fs::path& part, const RegisteredVersion& made) {
  fs::create_directory(part);
  for (const std::string_view name : {kRunRecordName, kMetricsName, kOutputName, kModelName})
    if (fs::exists(run / name)) copy_read_only(run / name, part / name);
  if (hash_of(part / kModelName) != made.sha256)
    throw FileError("the run has changed meanwhile: promote it again");
  const ordered_json json{{"version", made.version},
                          {"run", made.run},
                          {"folder", fs::absolute(run).lexically_normal().string()},
                          {"promoted", made.promoted},
                          {"model", made.model},
                          {"sha256", made.sha256},
                          {"accuracy", json_of(made.accuracy)}};
  write_file_durably(part / kVersionName, to_text(json, 2) + "\n");
  ::chmod((part / kVersionName).c_str(), 0444);
  fs::rename(part, made.folder);
}

std::string choices(const std::string& name, const std::vector<RegisteredVersion>& versions) {
  std::vector<std::string> all;
  all.reserve(versions.size());
  for (const RegisteredVersion& one : versions)
    all.push_back(one.text() + (one.stage.empty() ? "" : fmt::format(" ({})", one.stage)));
  return fmt::format("{} has {}", name, joined(all));
}

}  // namespace

std::string RegisteredVersion::text() const {
  return fmt::format("{}@{}", name, version);
}

std::string run_id(const fs::path& folder) {
  const fs::path path = folder.has_filename() ? folder : folder.parent_path();
  std::string name = path.filename().string();
  if (!fs::exists(path / kVersionName)) return name;
  return fmt::format("{}@{}", path.parent_path().filename().string(), name);
}

std::vector<RegisteredVersion> registered_versions(const RunEnvironment& environment,
                                                   const std::string& name) {
  const fs::path registry = registry_folder(environment);
  if (!name.empty()) return versions_in(registry / name);
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator entry(registry, error), end; !error && entry != end; entry.increment(error))
    folders.push_back(entry->path());
  if (error && error != std::errc::no_such_file_or_directory)
    throw FileError(fmt::format("cannot read {}: {}", registry.string(), error.message()));
  std::ranges::sort(folders);
  std::vector<RegisteredVersion> all;
  for (const fs::path& folder : folders) std::ranges::move(versions_in(folder), std::back_inserter(all));
  return all;
}

std::optional<RegisteredVersion> find_version(const std::string& words, const RunEnvironment& environment) {
  const std::size_t at = words.find('@');
  const std::string name = words.substr(0, at);
  if (!is_name(name)) return std::nullopt;
  const std::vector<RegisteredVersion> versions = registered_versions(environment, name);
  if (versions.empty()) return std::nullopt;
  const std::string wanted = at == std::string::npos ? "" : words.substr(at + 1);
  const auto found = std::ranges::find_if(versions, [&](const RegisteredVersion& one) {
    if (at == std::string::npos) return one.stage != kRetired;
    return std::to_string(one.version) == wanted ||
           (!wanted.empty() && one.stage == wanted && wanted != kRetired);
  });
  if (found != versions.end() && !found->problem.empty()) throw FileError(found->problem);
  if (found != versions.end()) return *found;
  throw FileError(
      at == std::string::npos
          ? fmt::format("every version of '{}' is retired: name one: {}", name, choices(name, versions))
          : fmt::format("'{}' is no version: {}", words, choices(name, versions)));
}

std::optional<fs::path> registered_folder(const std::string& words, const RunEnvironment& environment) {
  const auto version = find_version(words, environment);
  if (!version) return std::nullopt;
  if (hash_of(version->folder / kModelName) != version->sha256)
    throw FileError(
        fmt::format("{}: not the file that was promoted as {}: its SHA-256 should be {}: restore it",
                    (version->folder / kModelName).string(), version->text(), version->sha256));
  return version->folder;
}

Promotion promote(const fs::path& run, RegisteredVersion made, const RunEnvironment& environment) {
  if (!is_name(made.name))
    throw UsageError(
        fmt::format("'{}' cannot be a name: a letter, then letters, digits, '-', '_' and '.', at most 64 in "
                    "all, neither 'last' nor the name of a .safetensors file",
                    made.name));
  if (fs::exists(runs_folder(environment) / made.name / kRunRecordName))
    throw UsageError(
        fmt::format("'{}' is the name of a run: choose another name for the network", made.name));
  if (is_being_written(run))
    throw FileError(fmt::format("{} is being written: promote it when it has ended", made.run));
  if (!fs::exists(run / kModelName))
    throw FileError(
        fmt::format("{} has no {}: it did not end; go on with it by train --resume", made.run, kModelName));
  made.sha256 = hash_of(run / kModelName);
  const fs::path folder = registry_folder(environment) / made.name;
  const Descriptor lock = locked(folder);
  const std::vector<RegisteredVersion> versions = versions_in(folder);
  int newest = versions.empty() ? 0 : versions.front().version;
  const ordered_json stages = read_stages(folder);
  for (const auto& stage : stages.items())  // a folder that was removed by hand counts, too
    newest = std::max(newest, number_of(stage.key()).value_or(0));
  const auto same = std::ranges::find(versions, made.sha256, &RegisteredVersion::sha256);
  const std::string stage = made.stage;
  Promotion promotion{.is_new = same == versions.end()};
  if (promotion.is_new) {
    made.stage.clear();
    made.version = newest + 1;
    made.promoted = iso_time(std::time(nullptr));
    made.folder = folder / std::to_string(made.version);
    std::error_code ignored;
    fs::remove_all(folder / kUnfinished, ignored);
    try {
      make_version(run, folder / kUnfinished, made);
    } catch (const std::exception& error) {
      fs::remove_all(folder / kUnfinished, ignored);
      if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) throw;
      throw FileError(fmt::format("cannot promote {} to {}: {}", made.run, made.text(), error.what()));
    }
    ::fsync(lock.number());
  } else {
    static_cast<void>(registered_folder(same->text(), environment));  // it is as it was promoted
    made = *same;
  }
  const std::string before = made.stage;
  if (!stage.empty() || before == kRetired) made.stage = stage;
  promotion.version = made;
  if (made.stage == before) return promotion;
  set_stage(folder, made.version, made.stage);
  for (const RegisteredVersion& one : versions)
    if (one.stage == made.stage && !stage.empty()) promotion.note = one.text() + " has no stage now";
  if (before == "staging" || before == "production") promotion.note = "no version is in " + before + " now";
  return promotion;
}

RegisteredVersion retire(const std::string& words, const RunEnvironment& environment) {
  const auto version = find_version(words, environment);
  if (!version || words.find('@') == std::string::npos)
    throw UsageError(fmt::format("'{}' is no version: name one as NAME@VERSION or NAME@STAGE", words));
  const Descriptor lock = locked(version->folder.parent_path());
  set_stage(version->folder.parent_path(), version->version, kRetired);
  return *version;
}

}  // namespace trainer
