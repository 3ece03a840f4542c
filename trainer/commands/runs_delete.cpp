// trainer runs delete: removes runs that are over, and nothing that is not theirs. A folder is renamed to a hidden name first, so
// that a deletion that is broken off leaves no half run behind; the next one removes what it left.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <iostream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/store/registry.hpp"

namespace trainer {

namespace {

constexpr std::string_view kDeleted = ".deleted-";
constexpr const char* kGone = "it is gone: another command has deleted or moved it";

struct DeleteArguments {
  std::vector<std::string> runs;
  bool yes = false;
};

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code ignored;
  return {fs::directory_iterator(folder, ignored), fs::directory_iterator()};
}

// Whether it is such a file of a run. A symbolic link is none.
bool is_own(const fs::directory_entry& entry) {
  return entry.symlink_status().type() == fs::file_type::regular &&
         is_run_file(entry.path().filename().string());
}

// Removes a folder with a run's files; returns an errno, or 0. What is not a run's stays, and the folder with it.
int remove_folder(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : entries_of(folder))
    if (is_own(entry)) fs::remove(entry, ignored);
  return ::rmdir(folder.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

// A run that may be deleted: while this object lives, no process of this machine writes it.
class DeletableRun {
 public:
  // Throws FileError: why it may not. The lock is a shared one, as other commands take it for a moment to look at a run.
  explicit DeletableRun(const fs::path& folder)
      : folder_(folder), lock_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!lock_.is_open() || ::access(folder_.c_str(), W_OK) != 0)
      refuse(errno == ENOENT ? kGone : reason_and_next_step(errno));
    if (fs::is_symlink(folder_)) refuse("it is a symbolic link: name the folder that it leads to");
    if (fs::exists(folder_ / kVersionName))
      refuse(
          "it is a version of a registered network and stays: trainer registry retire takes it out of use");
    const bool is_free = ::flock(lock_.number(), LOCK_SH | LOCK_NB) == 0;
    if (!is_free && errno == EWOULDBLOCK) refuse("a process is writing it: wait for its end, or stop it");
    try {
      examine(is_free);
    } catch (const FileError&) {
      if (!fs::exists(folder_)) refuse(kGone);
      throw;
    }
  }

  [[nodiscard]] const fs::path& folder() const { return folder_; }

  // "20260101-093000-quick-1 (finished, 3 files, 1.20 MiB)"
  [[nodiscard]] std::string text() const {
    return printable(fmt::format("{} ({}, {} {}, {})", folder_.filename().string(), status_, files_,
                                 files_ == 1 ? "file" : "files", size_text(bytes_)));
  }

  // The folder may have been deleted meanwhile, and another one made in its place.
  void remove() const {
    const fs::path hidden = folder_.parent_path() / (std::string(kDeleted) + folder_.filename().string());
    struct stat locked {};
    struct stat there {};
    const bool is_same = ::fstat(lock_.number(), &locked) == 0 && ::lstat(folder_.c_str(), &there) == 0 &&
                         locked.st_ino == there.st_ino && locked.st_dev == there.st_dev;
    if (!is_same) refuse(kGone);
    if (::rename(folder_.c_str(), hidden.c_str()) != 0)
      refuse(errno == ENOENT ? kGone : reason_and_next_step(errno));
    if (const int error = remove_folder(hidden); error != 0)
      refuse(fmt::format("a part is left in {}: {}", hidden.string(), reason_and_next_step(error)));
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(fmt::format("cannot delete {}: {}", folder_.string(), reason));
  }

  void examine(bool is_free) {
    if (fs::exists(folder_ / kRunRecordName))
      require_over(read_run_record(folder_ / kRunRecordName), is_free);
    Words others;
    for (const fs::directory_entry& entry : entries_of(folder_)) {
      if (!is_own(entry)) others.push_back(entry.path().filename().string());
      std::error_code unknown;
      if (const auto bytes = entry.file_size(unknown); !unknown) bytes_ += bytes;
      ++files_;
    }
    std::ranges::sort(others);
    if (fs::exists(folder_ / kFetchedName))
      refuse("its fetching was broken off: trainer runs attach ends it");
    if (!others.empty()) refuse("it holds what is not a run's: " + joined(others) + ": move that away first");
  }

  void require_over(const RunRecord& record, bool is_locked) {
    const bool is_open = record.status == RunStatus::kRunning;
    status_ = is_open ? "killed" : name_of(record.status);
    if (is_open && target_name(record) != "local")
      refuse(fmt::format(
          "it may still run on {0}: trainer runs cancel {1} stops it, and if {0} is gone, trainer "
          "runs close {1} ends its record",
          target_name(record), folder_.filename().string()));
    if (is_open && (!is_locked || was_written_elsewhere(record, folder_)))
      refuse(
          "its record says that it runs, and whether its process has ended is not seen here: if it has, "
          "remove the folder by hand");
  }

  fs::path folder_;
  Descriptor lock_;
  std::string status_ = "no record";
  std::size_t files_ = 0;
  std::uint64_t bytes_ = 0;
};

bool is_agreed(const DeletableRun& run) {
  fmt::print(stderr, "delete {}? [y/N] ", run.text());
  std::string answer;
  std::getline(std::cin, answer);
  return lower(answer) == "y" || lower(answer) == "yes";
}

int delete_runs(const Environment& environment, const DeleteArguments& arguments) {
  if (!arguments.yes && (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1))
    throw UsageError("runs delete asks first, and there is no terminal to ask on: --yes does not ask");
  std::vector<DeletableRun> runs;
  for (const std::string& name : arguments.runs) {
    fs::path folder = find_run_folder(name, environment).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    if (std::ranges::find(runs, folder, &DeletableRun::folder) == runs.end()) runs.emplace_back(folder);
  }
  for (const DeletableRun& run : runs) {
    for (const fs::directory_entry& entry : entries_of(run.folder().parent_path()))
      if (entry.path().filename().string().starts_with(kDeleted) && !entry.is_symlink())
        (void)remove_folder(entry);
    if (!arguments.yes && !is_agreed(run)) continue;
    run.remove();
    fmt::print("{}", report_line("deleted", run.text()));
    (void)require_output(0);
  }
  return 0;
}

void declare_delete(CLI::App& app, DeleteArguments& arguments) {
  app.add_option("RUN", arguments.runs, "ids or beginnings of them, folders, or 'last'")->required();
  app.add_flag("-y,--yes", arguments.yes, "do not ask [off]");
}

}  // namespace

const Command kRunsDelete{"delete", "delete runs that are over", declared<declare_delete, delete_runs>};

}  // namespace trainer
