// mkdir(2) decides who gets a name, so that two runs started in one second do not share a folder.
#include "trainer/store/run_folder.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <functional>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "trainer/store/registry.hpp"

namespace trainer {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_folder(const fs::path& folder, std::string_view reason,
                                const std::string& advice = "") {
  throw FileError(fmt::format(
      "cannot write results in {}: {}: {}choose another folder with --out or TRAINER_RUNS, or train without "
      "saving with --no-save",
      folder.string(), reason, advice));
}

// Only the folders that a container is started with outlive it, and they must belong to the user that it runs as.
std::string container_advice(const RunEnvironment& environment) {
  if (!environment.inside_container) return "";
  return fmt::format(
      "start the container with a folder of yours there (with Docker: docker run -v \"$PWD:{}\" --user "
      "\"$(id -u):$(id -g)\"), ",
      (environment.trainer_runs ? runs_folder(environment) : environment.working_folder).string());
}

constexpr std::string_view kProbeName = ".probe", kPartial = ".partial";
// A kill left it, of what is written under the folder's lock, which a page is not.
bool is_leftover(std::string_view name) {
  return name.starts_with('.') && is_run_file(name) && name.find(kPageName) == name.npos;
}

std::string sanitised(std::string_view model) {
  std::string name;
  for (const char c : model) {
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
    name.push_back(kept ? c : '-');
  }
  constexpr std::size_t kLongestName = 64;
  return name.empty() ? "model" : name.substr(0, kLongestName);
}

std::string run_name(const NewRun& run) {
  std::tm local{};
  localtime_r(&run.started, &local);
  return fmt::format("{:%Y%m%d-%H%M%S}-{}-{}", local, sanitised(run.model), run.seed);
}

void make_parents(const fs::path& folder, const RunEnvironment& environment) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) refuse_folder(folder, error.message(), container_advice(environment));
}

fs::path make_out_folder(const fs::path& out, const RunEnvironment& environment) {
  std::error_code error;
  if (fs::exists(out, error)) {
    if (!fs::is_directory(out, error)) refuse_folder(out, "it is not a folder");
    bool empty = true;
    for (fs::directory_iterator entry(out, error), end; !error && entry != end; entry.increment(error))
      empty &= is_leftover(entry->path().filename().string());
    if (error) refuse_folder(out, error.message());
    if (!empty)
      throw FileError(
          fmt::format("cannot start a run in {}: the folder is not empty: choose a new one with --out, or "
                      "continue its run with "
                      "--resume",
                      out.string()));
    return out;
  }
  make_parents(out, environment);
  return out;
}

fs::path make_named_folder(const std::string& name, const RunEnvironment& environment) {
  const fs::path runs = runs_folder(environment);
  make_parents(runs, environment);
  constexpr int kMostOfOneName = 1000;
  for (int number = 1; number <= kMostOfOneName; ++number) {
    fs::path folder = runs / (number == 1 ? name : fmt::format("{}-{}", name, number));
    if (::mkdir(folder.c_str(), 0777) == 0) return folder;
    if (errno != EEXIST)
      refuse_folder(runs, std::generic_category().message(errno), container_advice(environment));
  }
  refuse_folder(runs, fmt::format("{} runs are named {} already", kMostOfOneName, name));
}

// Writes and removes a file large enough to reveal a full disk.
void prove_writable(const fs::path& folder) {
  const fs::path probe = folder / kProbeName;
  Descriptor file(::open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.is_open()) refuse_folder(folder, std::generic_category().message(errno));
  const std::array<char, 4096> block{};
  const ssize_t written = ::write(file.number(), block.data(), block.size());
  int error = written < 0 ? errno : written < static_cast<ssize_t>(block.size()) ? ENOSPC : 0;
  if (error == 0 && ::fsync(file.number()) != 0 && errno != EINVAL) error = errno;
  static_cast<void>(file.close());
  ::unlink(probe.c_str());
  if (error != 0) refuse_folder(folder, std::generic_category().message(error));
}

struct EarlierRun {
  fs::path folder;
  std::string name;
  fs::file_time_type written;
};

// When a run's folder was last written; nothing if it is not a run's folder.
std::optional<fs::file_time_type> last_written(const fs::path& folder) {
  std::optional<fs::file_time_type> latest;
  for (const std::string_view name : {kRunRecordName, kModelName, kCheckpointName}) {
    std::error_code error;
    const fs::file_time_type time = fs::last_write_time(folder / name, error);
    if (!error && fs::is_regular_file(folder / name, error)) latest = std::max(latest.value_or(time), time);
  }
  return latest;
}

// The runs in a folder whose names begin with `prefix`, the one written last first. A folder that does not exist has none.
std::vector<EarlierRun> runs_in(const fs::path& runs, std::string_view prefix = "") {
  std::vector<EarlierRun> found;
  std::error_code error;
  for (fs::directory_iterator entry(runs, error), end; !error && entry != end; entry.increment(error)) {
    const std::string& path = entry->path().native();
    std::string name = path.substr(path.rfind('/') + 1);
    if (name.starts_with('.') || !name.starts_with(prefix)) continue;
    if (const auto written = last_written(entry->path()))
      found.push_back({entry->path(), std::move(name), *written});
  }
  std::ranges::sort(found, std::greater(),
                    [](const EarlierRun& run) { return std::pair(run.written, run.name); });
  return found;
}

std::string names_of(const std::vector<EarlierRun>& runs) {
  constexpr std::size_t kMostListed = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(runs.size(), kMostListed); ++i)
    text += (i == 0 ? "" : ", ") + runs[i].name;
  if (runs.size() > kMostListed) text += fmt::format(" and {} more", runs.size() - kMostListed);
  return text;
}

[[noreturn]] void refuse(const std::string& argument, const std::string& reason) {
  throw FileError(fmt::format("no run or file '{}': {}", argument, reason));
}

fs::path run_named(const std::string& argument, const RunEnvironment& environment) {
  // Most runs are given by their whole name; only an error and `last` need to look at all of them.
  const fs::path runs = runs_folder(environment);
  std::vector<EarlierRun> candidates;
  if (argument != "last") {
    fs::path named = runs / argument;
    if (named.parent_path() == runs && last_written(named)) return named;
    if (const auto registered = registered_folder(argument, environment)) return *registered;
    candidates = runs_in(runs, argument);
    if (candidates.size() == 1) return candidates.front().folder;
  }
  const std::vector<EarlierRun> known = runs_in(runs);
  if (known.empty())
    refuse(argument,
           fmt::format("there is no such path, and no run in {}: train first, or name the runs folder with "
                       "TRAINER_RUNS",
                       runs.string()));
  if (argument == "last") return known.front().folder;
  if (candidates.empty())
    refuse(argument, fmt::format("there is no such path, and no run in {} begins so; there are: {}",
                                 runs.string(), names_of(known)));
  refuse(argument, fmt::format("{} runs in {} begin so: {}; give more of the name", candidates.size(),
                               runs.string(), names_of(candidates)));
}

}  // namespace

fs::path runs_folder(const RunEnvironment& environment) {
  return environment.working_folder / environment.trainer_runs.value_or("runs");
}

bool is_run_file(std::string_view name) {
  if (name == kProbeName) return true;
  if (name.starts_with('.') && name.ends_with(kPartial))
    name = name.substr(1, name.size() - 1 - kPartial.size());
  constexpr std::array kNames{kRunRecordName, kMetricsName,    kOutputName,
                              kModelName,     kCheckpointName, kPageName};
  return name.starts_with(kEventsPrefix) || std::ranges::find(kNames, name) != kNames.end();
}

std::vector<std::string> event_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (std::string name = entry->path().filename(); name.starts_with(kEventsPrefix))
      names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}

bool is_being_written(const fs::path& folder) {
  const Descriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return !lock.is_open() || ::flock(lock.number(), LOCK_SH | LOCK_NB) != 0;
}

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  prove_writable(path_);
  lock_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_.is_open()) refuse_folder(path_, std::generic_category().message(errno));
  // A file system without locks (an old NFS) is accepted; only a lock that another process holds is an error.
  if (::flock(lock_.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw FileError(fmt::format(
        "cannot write results in {}: another process is writing this run: wait for it to end, or choose "
        "another folder with --out",
        path_.string()));
  std::error_code ignored;
  for (fs::directory_iterator entry(path_, ignored), end; !ignored && entry != end; entry.increment(ignored))
    if (is_leftover(entry->path().filename().string())) ::unlink(entry->path().c_str());
}

RunFolder RunFolder::create(const NewRun& run, const RunEnvironment& environment) {
  if (run.out) return RunFolder(make_out_folder(environment.working_folder / *run.out, environment));
  const fs::path folder = make_named_folder(run_name(run), environment);
  try {
    return RunFolder(folder);
  } catch (const FileError&) {
    ::rmdir(folder.c_str());
    throw;
  }
}

RunFolder RunFolder::reopen(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error))
    throw FileError(
        fmt::format("cannot continue the run {}: it is not a folder: check the path", path.string()));
  if (fs::exists(path / kVersionName))
    throw FileError(fmt::format(
        "cannot continue {}: it is a registered version, which never changes: train --from {} starts a "
        "new run with its weights",
        path.string(), run_id(path)));
  return RunFolder(path);
}

fs::path resolve_run(const std::string& run_or_file, const RunEnvironment& environment) {
  fs::path path = environment.working_folder / run_or_file;
  std::error_code ignored;
  if (run_or_file.empty())
    refuse(run_or_file, "it is empty: give a run folder, a .safetensors file, or 'last'");
  if (run_or_file.find('@') != std::string::npos)
    if (const auto registered = registered_folder(run_or_file, environment)) return *registered;
  if (run_or_file == "last") return run_named(run_or_file, environment);
  if (fs::is_directory(path, ignored)) {
    if (last_written(path)) return path;
    if (const auto registered = registered_folder(run_or_file, environment)) return *registered;
    refuse(run_or_file, fmt::format("the folder {} holds none of {}, {}, {}", path.string(), kRunRecordName,
                                    kModelName, kCheckpointName));
  }
  if (fs::exists(path, ignored)) return path;
  return run_named(run_or_file, environment);
}

fs::path model_file(const fs::path& run_or_file) {
  std::error_code ignored;
  if (!fs::is_directory(run_or_file, ignored)) return run_or_file;
  for (const std::string_view name : {kModelName, kCheckpointName})
    if (fs::status(run_or_file / name, ignored).type() != fs::file_type::not_found) return run_or_file / name;
  throw FileError(fmt::format("the run {} holds no network: neither {} nor {}; it ended before it saved one",
                              run_or_file.string(), kModelName, kCheckpointName));
}

}  // namespace trainer
