// mkdir(2) decides who gets a name, so that two runs started in one second do not share a folder.
#include "trainer/store/run_folder.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "trainer/system/files.hpp"

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

// A container has no folder that outlives it but those that its start gives it, as the user that it names.
std::string container_advice(const RunEnvironment& environment) {
  if (!environment.inside_container) return "";
  const bool named = environment.trainer_runs && !environment.trainer_runs->empty();
  return fmt::format(
      "start the container with a folder of yours there (with Docker: docker run -v \"$PWD:{}\" --user "
      "\"$(id -u):$(id -g)\"), ",
      (named ? runs_folder(environment) : environment.working_folder).string());
}

std::string reason_of(int error_number) {
  return std::generic_category().message(error_number);
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
    const bool empty = fs::is_empty(out, error);
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
    if (errno != EEXIST) refuse_folder(runs, reason_of(errno), container_advice(environment));
  }
  refuse_folder(runs, fmt::format("{} runs are named {} already", kMostOfOneName, name));
}

// Writes and removes a file large enough to meet a full disk.
void prove_writable(const fs::path& folder) {
  const fs::path probe = folder / ".probe";
  const int file = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) refuse_folder(folder, reason_of(errno));
  const std::array<char, 4096> block{};
  const ssize_t written = ::write(file, block.data(), block.size());
  int error = written < 0 ? errno : written < static_cast<ssize_t>(block.size()) ? ENOSPC : 0;
  if (error == 0 && ::fsync(file) != 0 && errno != EINVAL) error = errno;
  ::close(file);
  ::unlink(probe.c_str());
  if (error != 0) refuse_folder(folder, reason_of(error));
}

}  // namespace

fs::path runs_folder(const RunEnvironment& environment) {
  const bool named = environment.trainer_runs && !environment.trainer_runs->empty();
  return environment.working_folder / (named ? fs::path(*environment.trainer_runs) : fs::path("runs"));
}

bool is_being_written(const fs::path& folder) {
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return true;
  const bool free = ::flock(lock, LOCK_SH | LOCK_NB) == 0;
  ::close(lock);
  return !free;
}

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  prove_writable(path_);
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) refuse_folder(path_, reason_of(errno));
  // A file system without locks (an old NFS) has none to hold; only a lock that another process holds is an
  // answer.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    throw FileError(fmt::format(
        "cannot write results in {}: another process is writing this run: wait for it to end, or choose "
        "another folder with --out",
        path_.string()));
  }
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

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
  return RunFolder(path);
}

}  // namespace trainer
