// Writing that survives failures: a full device, a file-size limit, a parent that is a file. All of them fail
// for root too, where permissions would not.
#include "trainer/system/files.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/file_errors.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer {
namespace {

using test::read_text;
using test::TemporaryFolder;
namespace fs = std::filesystem;

std::size_t entries(const TemporaryFolder& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

// What is asked of the system, in order, while this is set: the two functions at the end of this file stand before libc's.
thread_local std::vector<std::string>* asked = nullptr;

// Files of this process may not grow beyond `bytes` while the object lives; a write then fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{bytes, old_limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_limit_{};
  void (*old_handler_)(int);
};

TEST(WriteFileDurably, FlushesTheFileBeforeItHasItsNameAndThenTheFolder) {
  const TemporaryFolder folder;
  std::vector<std::string> calls;
  asked = &calls;
  const std::string text = "whole";
  const std::span<const std::byte> part = std::as_bytes(std::span(text));
  write_file_durably(folder / "file", std::span(&part, 1));
  asked = nullptr;
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[0], "flush a file");
  EXPECT_EQ(calls[1], "rename to " + (folder / "file").string());
  EXPECT_EQ(calls[2], "flush a folder");
}

TEST(AppendedFile, IsFlushedWhereThatIsAskedFor) {
  const TemporaryFolder folder;
  AppendedFile file(folder / "lines");
  file.append("a line\n", "a line");
  std::vector<std::string> calls;
  asked = &calls;
  file.flush();
  asked = nullptr;
  EXPECT_EQ(calls, std::vector<std::string>{"flush a file"});
}

TEST(WriteFileDurably, WritesPartsInOrderAndReplacesTheOldFile) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("file", "something longer that was there before");
  const std::string first = "one ";
  const std::string second = "two";
  const std::vector<std::span<const std::byte>> parts{
      std::as_bytes(std::span(first)), {}, std::as_bytes(std::span(second))};
  write_file_durably(path, parts);
  EXPECT_EQ(read_text(path), "one two");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(WriteFileDurably, TakesTheLeftoverOfAKilledWriterAway) {
  const TemporaryFolder folder;
  folder.write(".file.partial", "much more than the new contents, from a process that was killed");
  write_file_durably(folder / "file", "new");
  EXPECT_EQ(read_text(folder / "file"), "new");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(WriteFileDurably, KeepsTheOldFileWhenTheNewOneDoesNotFit) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("file", "old contents");
  const FileSizeLimit limit(4096);
  const std::string message = message_of([&] { write_file_durably(path, std::string(100'000, 'x')); });
  expect_contains(message, "cannot write " + path.string() + ": writing failed: File too large: free space");
  EXPECT_EQ(read_text(path), "old contents");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(WriteFileDurably, NamesAFolderThatIsAFile) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("file", "text") / "below";
  expect_contains(message_of([&] { write_file_durably(path, "x"); }), path.string() + ": opening");
  expect_contains(message_of([&] { write_file_durably(path, "x"); }), "Not a directory: check the path");
}

TEST(WriteFileDurably, RemovesTheTemporaryFileWhenTheRenameFails) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "taken");
  expect_contains(message_of([&] { write_file_durably(folder / "taken", "x"); }), "Is a directory");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(WriteFileDurably, LeavesWhatIsNoFileAlone) {
  const TemporaryFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(message_of([&] { write_file_durably(pipe, "x"); }),
            "cannot write " + pipe.string() + ": it is not a regular file: name another path");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(entries(folder), 1U);
}

TEST(WriteFileDurably, WritesToWhatALinkNames) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("below/file", "old");
  fs::create_symlink("below/file", folder / "link");
  fs::create_symlink("link", folder / "second");
  fs::create_symlink("below/new", folder / "ahead");
  write_file_durably(folder / "second", "new");
  write_file_durably(folder / "ahead", "newest");
  EXPECT_EQ(read_text(file), "new");
  EXPECT_EQ(read_text(folder / "below/new"), "newest");
  for (const char* link : {"link", "second", "ahead"}) EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
  EXPECT_EQ(entries(folder), 4U);
}

TEST(WriteFileDurably, LeavesLinksToOpenFilesAndDevicesAlone) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("file", "redirected");
  const Descriptor open_file(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  fs::create_symlink("/proc/self/fd/" + std::to_string(open_file.number()), folder / "open");
  fs::create_symlink("open", folder / "second");
  fs::create_symlink("/dev/no-such-device-of-a-test", folder / "device");
  fs::create_symlink("circle", folder / "circle");
  for (const char* link : {"open", "second", "device", "circle"}) {
    expect_contains(message_of([&] { write_file_durably(folder / link, "x"); }),
                    "cannot write " + (folder / link).string() + ": it is a link into /dev, /proc or itself");
    EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
  }
  EXPECT_EQ(read_text(file), "redirected");
  EXPECT_EQ(entries(folder), 5U);
}

TEST(WriteFileDurably, WritesInTheWorkingFolderWithoutAParentPath) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_durably("plain", "x");
  fs::current_path(before);
  EXPECT_EQ(read_text(folder / "plain"), "x");
}

TEST(ReasonAndNextStep, NamesWhatToDo) {
  EXPECT_EQ(reason_and_next_step(ENOSPC), "No space left on device: free space or choose another folder");
  EXPECT_EQ(reason_and_next_step(EACCES), "Permission denied: choose a folder that you may write");
  expect_contains(reason_and_next_step(EIO), "check the disk or choose another folder");
}

TEST(ReadFile, ReturnsTheBytesAndRefusesWhatIsNotAFileOrTooLarge) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("file", "12345");
  EXPECT_EQ(read_file(path, 5).size(), 5U);
  EXPECT_EQ(read_file(path, 5)[4], std::byte{'5'});
  expect_contains(message_of([&] { (void)read_file(path, 4); }), "it has 5 bytes, at most 4 are expected");
  expect_contains(message_of([&] { (void)read_file(folder.path(), 4); }), "not a regular file");
  expect_contains(message_of([&] { (void)read_file("/dev/zero", 4); }), "not a regular file");
  expect_contains(message_of([&] { (void)read_file(folder / "none", 4); }), "No such file");
}

TEST(JsonLinesFile, AppendsWholeLinesAcrossReopening) {
  const TemporaryFolder folder;
  const fs::path path = folder / "metrics.jsonl";
  JsonLinesFile(path).write({{"epoch", 1}});
  JsonLinesFile(path).write({{"epoch", 2}, {"text", "a\nb"}});
  EXPECT_EQ(read_text(path), "{\"epoch\":1}\n{\"epoch\":2,\"text\":\"a\\nb\"}\n");
  const auto values = read_json_lines(path, 1000);
  ASSERT_EQ(values.size(), 2U);
  EXPECT_EQ(values[1]["text"], "a\nb");
}

TEST(JsonLinesFile, CutsOffAnUnfinishedLastLine) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("metrics.jsonl", "{\"epoch\":1}\n{\"epo");
  EXPECT_EQ(read_json_lines(path, 1000).size(), 1U);
  JsonLinesFile(path).write({{"epoch", 2}});
  EXPECT_EQ(read_text(path), "{\"epoch\":1}\n{\"epoch\":2}\n");
}

TEST(JsonLinesFile, ReportsAFullDisk) {
  JsonLinesFile file("/dev/full");
  const std::string message = message_of([&] { file.write({{"epoch", 1}}); });
  EXPECT_EQ(message,
            "cannot write /dev/full: appending a line failed: No space left on device: free space or choose "
            "another "
            "folder");
}

TEST(JsonLinesFile, TakesTheBeginningOfALineBackThatDidNotFit) {
  const TemporaryFolder folder;
  const fs::path path = folder / "metrics.jsonl";
  JsonLinesFile file(path);
  file.write({{"epoch", 1}});
  const FileSizeLimit limit(100);
  expect_contains(message_of([&] { file.write({{"text", std::string(1000, 'x')}}); }), "File too large");
  EXPECT_EQ(read_text(path), "{\"epoch\":1}\n");
}

TEST(JsonLinesFile, NamesTheLineThatIsNotJson) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("metrics.jsonl", "{}\n{broken\n");
  expect_contains(message_of([&] { (void)read_json_lines(path, 1000); }), "line 2 is not JSON");
}

// Copying such values would take the whole stack, and reading so many members of one object the whole day.
TEST(JsonLinesFile, RefusesALineThatIsTooDeepOrTooWide) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& line) {
    const fs::path path = folder.write("metrics.jsonl", "{}\n" + line + "\n");
    return message_of([&] { (void)read_json_lines(path, 1 << 24); });
  };
  expect_contains(refused("{\"a\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}"),
                  "metrics.jsonl:2: its values lie deeper than 64");
  std::string members = "\"a0\":0";
  for (int i = 1; i <= 1000; ++i) members += fmt::format(",\"a{}\":0", i);
  expect_contains(refused("{" + members + "}"), "an object has more than 1000 members");
  EXPECT_EQ(read_json_lines(folder.write("lines", "{\"a\":{" + members.substr(7) + "}}\n"), 1 << 24).size(),
            1U);
}

TEST(JsonLinesFile, ReplacesBytesThatAreNotUtf8) {
  const TemporaryFolder folder;
  JsonLinesFile(folder / "lines").write({{"path", "\xff"}});
  EXPECT_EQ(read_json_lines(folder / "lines", 1000).size(), 1U);
}

void note(const std::string& what) {
  if (asked != nullptr) asked->push_back(what);
}

}  // namespace
}  // namespace trainer

extern "C" int fsync(int descriptor) {
  struct stat status {};
  ::fstat(descriptor, &status);
  trainer::note(S_ISDIR(status.st_mode) ? "flush a folder" : "flush a file");
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

extern "C" int rename(const char* from, const char* to) noexcept {
  trainer::note(std::string("rename to ") + to);
  return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}
