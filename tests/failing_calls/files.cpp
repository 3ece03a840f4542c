// Calls that concern files, and threads: each is listed, one of them fails or is the program's last, or the disk is full.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/failing_calls/control.hpp"

namespace failing_calls {
namespace {

std::atomic<std::uint64_t> written{0};

// Whether the next call, named so, is the one.
bool is_its_turn(const char* name, const char* path, int descriptor) {
  const Mode mode = control().mode;
  if (mode > Mode::kill_at_file || !is_watched()) return false;
  const std::uint64_t number = next_call();
  if (mode != Mode::list_files && number != control().wanted) return false;
  const Own own;
  char link[64];
  char target[4096] = "-";
  if (path == nullptr && descriptor >= 0) {
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t size = ::syscall(SYS_readlink, link, target, sizeof target - 1);
    if (size > 0) target[size] = '\0';
  }
  log_call(number, name, path != nullptr ? path : target);
  if (mode == Mode::fail_file) {
    void* frames[6];
    log_frames(frames, ::backtrace(frames, 6));
  }
  return mode != Mode::list_files;
}

void end_here() {
  static_cast<void>(::syscall(SYS_kill, ::getpid(), SIGKILL));
}

// True if the call fails; errno says why.
bool fails(const char* name, const char* path, int descriptor = -1) {
  if (!is_its_turn(name, path, descriptor)) return false;
  if (control().mode == Mode::kill_at_file) end_here();
  errno = control().error_number;
  return true;
}

// How many of the bytes a disk that fills up still takes; -1, with errno, if none.
ssize_t taken_by_disk(int descriptor, std::size_t size) {
  if (control().mode != Mode::disk || !is_watched()) return static_cast<ssize_t>(size);
  const Own own;
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return static_cast<ssize_t>(size);
  const std::uint64_t before = written.fetch_add(size);
  const std::uint64_t room = control().wanted > before ? control().wanted - before : 0;
  if (room >= size) return static_cast<ssize_t>(size);
  errno = ENOSPC;
  return room > 0 ? static_cast<ssize_t>(room) : -1;
}

template <typename Function>
Function* next(const char* name) {
  const Own own;
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int permissions_of(int flags, va_list& rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, int) : 0;
}

}  // namespace
}  // namespace failing_calls

using failing_calls::fails;

// NOLINTBEGIN: libc's own names and parameters, and macros that give a table of them
// clang-format off
#define NEXT(name) static auto* const real = failing_calls::next<decltype(::name)>(#name)

#define OPEN(name, folder, ...)                                             \
  int name(__VA_ARGS__ const char* path, int flags, ...) {                  \
    va_list rest;                                                           \
    va_start(rest, flags);                                                  \
    const int permissions = failing_calls::permissions_of(flags, rest);     \
    va_end(rest);                                                           \
    NEXT(name);                                                             \
    return fails("open", path) ? -1 : real(folder path, flags, permissions); \
  }

#define CALL(result, failure, name, parameters, arguments, path, descriptor)  \
  result name parameters {                                                    \
    NEXT(name);                                                               \
    return fails(#name, path, descriptor) ? failure : real arguments;         \
  }
#define COMMA ,

extern "C" {

OPEN(open, )
OPEN(open64, )
OPEN(openat, folder COMMA, int folder COMMA)
OPEN(openat64, folder COMMA, int folder COMMA)
CALL(FILE*, nullptr, fopen, (const char* path, const char* how), (path, how), path, -1)
CALL(FILE*, nullptr, fopen64, (const char* path, const char* how), (path, how), path, -1)
CALL(DIR*, nullptr, opendir, (const char* path), (path), path, -1)
CALL(ssize_t, -1, read, (int file, void* bytes, size_t size), (file, bytes, size), nullptr, file)
CALL(ssize_t, -1, pread, (int file, void* bytes, size_t size, off_t from), (file, bytes, size, from), nullptr, file)
CALL(ssize_t, -1, pread64, (int file, void* bytes, size_t size, off64_t from), (file, bytes, size, from), nullptr, file)
CALL(int, -1, fsync, (int file), (file), nullptr, file)
CALL(int, -1, fdatasync, (int file), (file), nullptr, file)
CALL(int, -1, ftruncate, (int file, off_t size), (file, size), nullptr, file)
CALL(int, -1, rename, (const char* from, const char* to), (from, to), to, -1)
CALL(int, -1, mkdir, (const char* path, mode_t permissions), (path, permissions), path, -1)
CALL(char*, nullptr, mkdtemp, (char* path), (path), path, -1)
CALL(int, -1, unlink, (const char* path), (path), path, -1)
CALL(int, -1, unlinkat, (int folder, const char* path, int flags), (folder, path, flags), path, -1)
CALL(int, -1, rmdir, (const char* path), (path), path, -1)
CALL(int, -1, chmod, (const char* path, mode_t permissions), (path, permissions), path, -1)
CALL(int, -1, flock, (int file, int how), (file, how), nullptr, file)
CALL(int, -1, access, (const char* path, int how), (path, how), path, -1)
CALL(int, -1, stat, (const char* path, struct stat* status), (path, status), path, -1)
CALL(int, -1, lstat, (const char* path, struct stat* status), (path, status), path, -1)
CALL(int, -1, fstat, (int file, struct stat* status), (file, status), nullptr, file)
CALL(int, -1, pipe2, (int* ends, int flags), (ends, flags), nullptr, -1)
CALL(void*, MAP_FAILED, mmap, (void* at, size_t size, int protection, int flags, int file, off_t from),
     (at, size, protection, flags, file, from), nullptr, file)
CALL(int, EAGAIN, pthread_create, (pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument),
     (thread, attributes, start, argument), nullptr, -1)
// clang-format on

// A kill falls into the middle of it.
ssize_t write(int file, const void* bytes, size_t size) {
  NEXT(write);
  const ssize_t taken = failing_calls::taken_by_disk(file, size);
  if (taken < 0) return -1;
  if (!failing_calls::is_its_turn("write", nullptr, file))
    return real(file, bytes, static_cast<size_t>(taken));
  if (failing_calls::control().mode == failing_calls::Mode::kill_at_file) {
    (void)!real(file, bytes, size / 2);
    failing_calls::end_here();
  }
  errno = failing_calls::control().error_number;
  return -1;
}

// A file whose closing reports an error is closed all the same.
int close(int file) {
  NEXT(close);
  const bool fail = fails("close", nullptr, file);
  const int why = errno;
  const int result = real(file);
  if (!fail) return result;
  errno = why;
  return -1;
}

}  // extern "C"
// NOLINTEND
