#include "tests/failing_calls/control.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

namespace failing_calls {
namespace {

Control given;
int log_file = -1;
pid_t owner = 0;
std::atomic<std::uint64_t> calls{0};
__attribute__((tls_model("initial-exec"))) thread_local bool inside = false;

void read(const char* words) {
  const std::string_view text(words);
  const std::size_t first = text.find(':');
  const std::size_t second = first == text.npos ? first : text.find(':', first + 1);
  const std::string_view last = second == text.npos ? "" : text.substr(second + 1);
  if (first != text.npos) given.wanted = std::strtoull(words + first + 1, nullptr, 10);
  if (text.starts_with("disk")) given.mode = Mode::disk;
  if (text.starts_with("files"))
    given.mode = last.empty() ? Mode::list_files : last == "kill" ? Mode::kill_at_file : Mode::fail_file;
  if (text.starts_with("memory")) given.mode = last.empty() ? Mode::list_stacks : Mode::fail_memory;
  if (given.mode == Mode::fail_file)
    given.error_number = static_cast<int>(std::strtol(words + second + 1, nullptr, 10));
}

// Tells where the program has crashed; the return to the same instruction, or abort, then ends it.
void tell_crash(int signal) {
  const Own own;
  constexpr int kMost = 40;
  void* frames[kMost];
  log_text("crash", 5);
  log_frames(frames, ::backtrace(frames, kMost));
  ::signal(signal, SIG_DFL);
}

__attribute__((constructor)) void begin() {
  const char* words = std::getenv("FAILING_CALLS");
  const char* log = std::getenv("FAILING_CALLS_LOG");
  if (words == nullptr || log == nullptr) return;
  const Own own;
  const int opened =
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  constexpr int kHigh = 900;  // not a number that a file of the program gets
  log_file = ::fcntl(opened, F_DUPFD_CLOEXEC, kHigh);
  static_cast<void>(::syscall(SYS_close, opened));
  void* frames[4];
  ::backtrace(frames, 4);  // it loads its library the first time
  read(words);
  if (given.mode == Mode::fail_file || given.mode == Mode::fail_memory)
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) ::signal(signal, tell_crash);
  ::unsetenv("FAILING_CALLS");
  ::unsetenv("LD_PRELOAD");
  owner = ::getpid();
}

}  // namespace

const Control& control() {
  return given;
}

bool is_watched() {
  return given.mode != Mode::off && !inside && ::getpid() == owner;
}

Own::Own() : before_(inside) {
  inside = true;
}

Own::~Own() {
  inside = before_;
}

std::uint64_t next_call() {
  return ++calls;
}

void log_text(const char* text, std::size_t size) {
  static_cast<void>(::syscall(SYS_write, log_file, text, size));
}

void log_call(std::uint64_t number, const char* name, const char* path) {
  char line[4200];
  const int size =
      std::snprintf(line, sizeof line, "%llu %s %s\n", static_cast<unsigned long long>(number), name, path);
  log_text(line, static_cast<std::size_t>(size));
}

void log_frames(void* const* frames, int depth) {
  for (int i = 0; i < depth; ++i) {
    Dl_info info{};
    char text[600];
    const bool known = dladdr(frames[i], &info) != 0 && info.dli_fname != nullptr;
    const char* path = known ? info.dli_fname : "?";
    const char* slash = std::strrchr(path, '/');
    const auto offset =
        reinterpret_cast<std::uintptr_t>(frames[i]) - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
    const int size = std::snprintf(text, sizeof text, " %s+%llx", slash != nullptr ? slash + 1 : path,
                                   static_cast<unsigned long long>(offset));
    log_text(text, static_cast<std::size_t>(size));
  }
  log_text("\n", 1);
}

}  // namespace failing_calls
