// POSIX calls are used because the standard streams can neither flush to the device nor say why a write failed.
#include "trainer/system/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "trainer/system/text.hpp"

namespace trainer {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_writing(const fs::path& path, std::string_view what, int error_number) {
  throw FileError(
      fmt::format("cannot write {}: {}: {}", path.string(), what, reason_and_next_step(error_number)));
}

[[noreturn]] void fail_reading(const fs::path& path, std::string_view what, int error_number) {
  const std::string_view next = error_number == EACCES ? "check its permissions" : "check the path";
  throw FileError(fmt::format("cannot read {}: {}: {}: {}", path.string(), what,
                              std::generic_category().message(error_number), next));
}

// 0, or the errno value of what failed.
int write_all(int descriptor, std::span<const std::byte> bytes) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;  // Linux writes at most 2 GiB less a page
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMostAtOnce));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return ENOSPC;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

// 0, or the errno value. A file system that does not support flushing (EINVAL) has nothing to flush.
int flush_to_device(int descriptor) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOTSUP ? 0 : errno;
  }
  return 0;
}

// Reads until the end of the file or of `bytes`; returns the number of bytes read.
std::size_t read_up_to(int descriptor, std::span<std::byte> bytes, const fs::path& path) {
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(descriptor, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_reading(path, "reading failed", errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

// Length of the file up to and including its last newline. Looks at no more than the last `kLongestTail` bytes: a longer
// "unfinished line" is not one of ours, and stays.
off_t whole_lines(int descriptor, off_t size) {
  constexpr off_t kLongestTail = 1 << 20;
  std::vector<char> tail(static_cast<std::size_t>(std::min(size, kLongestTail)));
  const off_t start = size - static_cast<off_t>(tail.size());
  if (::pread(descriptor, tail.data(), tail.size(), start) != static_cast<ssize_t>(tail.size())) return size;
  const auto end = std::find(tail.rbegin(), tail.rend(), '\n').base();
  if (end == tail.begin() && start > 0) return size;
  return start + (end - tail.begin());
}

// The file that `path` names through symbolic links. A link in /proc stands for an open file, which a rename cannot replace.
fs::path through_links(const fs::path& path) {
  std::error_code error;
  fs::path file = path;
  for (int links = 0; fs::is_symlink(file, error); ++links) {
    const auto in = [&](const char* top) {
      return (fs::weakly_canonical(fs::absolute(file).parent_path(), error) / "").string().starts_with(top);
    };
    if (!in("/proc/")) file = file.parent_path() / fs::read_symlink(file, error);
    if (links == 40 || in("/proc/") || (in("/dev/") && !in("/dev/shm/")))
      throw FileError(fmt::format(
          "cannot write {}: it is a link into /dev, /proc or itself: name another path", path.string()));
  }
  return file;
}

}  // namespace

bool Descriptor::close() {
  return number_ < 0 || ::close(std::exchange(number_, -1)) == 0;
}

std::string reason_and_next_step(int error_number) {
  const std::string reason = std::generic_category().message(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return reason + ": free space or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return reason + ": choose a folder that you may write";
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
      return reason + ": check the path";
    default:
      return reason + ": check the disk or choose another folder";
  }
}

void write_file_durably(const fs::path& path, std::span<const std::span<const std::byte>> parts) {
  std::error_code ignored;
  const fs::file_status before = fs::status(path, ignored);  // a device or a pipe would be replaced by a file
  if (fs::exists(before) && !fs::is_regular_file(before) && !fs::is_directory(before))
    throw FileError(
        fmt::format("cannot write {}: it is not a regular file: name another path", path.string()));
  const fs::path target = through_links(path);
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const fs::path temporary = folder / ("." + target.filename().string() + ".partial");
  const auto require = [&](int error, std::string_view what) {
    if (error == 0) return;
    ::unlink(temporary.c_str());
    fail_writing(path, what, error);
  };
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
  require(file.is_open() ? 0 : errno, "opening a temporary file beside it failed");
  for (const std::span<const std::byte> part : parts)
    require(write_all(file.number(), part), "writing failed");
  require(flush_to_device(file.number()), "flushing to disk failed");
  require(file.close() ? 0 : errno, "closing failed");
  require(::rename(temporary.c_str(), target.c_str()) == 0 ? 0 : errno,
          "renaming the finished temporary file failed");
  const Descriptor opened_folder(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  require(opened_folder.is_open() ? 0 : errno, "opening its folder to flush it failed");
  require(flush_to_device(opened_folder.number()), "flushing its folder to disk failed");
}

void write_file_durably(const fs::path& path, std::string_view text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text));
  write_file_durably(path, std::span(&part, 1));
}

std::vector<std::byte> read_file(const fs::path& path, std::uint64_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) fail_reading(path, "opening failed", errno);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) fail_reading(path, "asking for its size failed", errno);
  if (!S_ISREG(status.st_mode))
    throw FileError(fmt::format("cannot read {}: it is not a regular file: check the path", path.string()));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > max_bytes)
    throw FileError(fmt::format("cannot read {}: it has {} bytes, at most {} are expected: check the path",
                                path.string(), size, max_bytes));
  std::vector<std::byte> bytes(size);
  bytes.resize(read_up_to(file.number(), bytes, path));
  return bytes;
}

AppendedFile::AppendedFile(fs::path path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (!file_.is_open()) fail_writing(path_, "opening failed", errno);
}

JsonLinesFile::JsonLinesFile(fs::path path) : AppendedFile(std::move(path)) {
  struct stat status {};
  if (::fstat(file_.number(), &status) != 0) fail_writing(path_, "asking for its size failed", errno);
  if (!S_ISREG(status.st_mode)) return;
  const off_t whole = whole_lines(file_.number(), status.st_size);
  if (whole != status.st_size && ::ftruncate(file_.number(), whole) != 0)
    fail_writing(path_, "cutting off its unfinished last line failed", errno);
}

void AppendedFile::append(std::string_view bytes, std::string_view what) {
  struct stat before {};
  const bool regular = ::fstat(file_.number(), &before) == 0 && S_ISREG(before.st_mode);
  const int error = write_all(file_.number(), std::as_bytes(std::span(bytes)));
  if (error == 0) return;
  const bool whole = !regular || ::ftruncate(file_.number(), before.st_size) == 0;
  fail_writing(
      path_,
      fmt::format("appending {} failed{}", what, whole ? "" : ", and so did taking its beginning back"),
      error);
}

void JsonLinesFile::write(const nlohmann::ordered_json& value) {
  append(to_text(value) + "\n", "a line");
}

void AppendedFile::flush() {
  const int error = flush_to_device(file_.number());
  if (error != 0) fail_writing(path_, "flushing it to disk failed", error);
}

std::vector<nlohmann::ordered_json> read_json_lines(const fs::path& path, std::uint64_t max_bytes) {
  const std::vector<std::byte> bytes = read_file(path, max_bytes);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<nlohmann::ordered_json> values;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    nlohmann::ordered_json value =
        parsed_json(text.substr(0, end), fmt::format("{}:{}", path.string(), values.size() + 1));
    if (value.is_discarded())
      throw FileError(fmt::format("cannot read {}: line {} is not JSON: remove that line", path.string(),
                                  values.size() + 1));
    values.push_back(std::move(value));
    text.remove_prefix(end + 1);
  }
  return values;
}

ScratchFolder::ScratchFolder() {
  const char* given = std::getenv("TMPDIR");
  const std::string place = given != nullptr && *given != '\0' ? given : "/tmp";
  std::string name = (fs::path(place) / "trainer-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    throw FileError(
        fmt::format("cannot make a folder in TMPDIR, {}: {}", place, reason_and_next_step(errno)));
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace trainer
