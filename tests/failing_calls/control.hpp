// A library for LD_PRELOAD that stands between a program and libc: it lists the calls that the program makes, makes one of them fail,
// or ends the program at one. scripts/failing_calls.sh and scripts/kill_check.sh use it. In the environment:
//   FAILING_CALLS  files             lists each call that concerns files, in FAILING_CALLS_LOG
//                  files:N:ERRNO     call N fails with this number of an error, without having had an effect
//                  files:N:kill      SIGKILL before call N; if it writes, after half of its bytes
//                  disk:BYTES        the disk is full after so many bytes
//                  memory:SEED       lists each call stack that allocates, how often, and one allocation of it, drawn by SEED
//                  memory:N:fail     allocation N fails
// The log names the call that failed, and where. Processes that the program starts are left alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace failing_calls {

enum class Mode { off, list_files, fail_file, kill_at_file, disk, list_stacks, fail_memory };

struct Control {
  Mode mode = Mode::off;
  std::uint64_t wanted = 0;  // the call, the bytes of the disk, or a seed
  int error_number = 0;
};

// Read once, when the library is loaded.
const Control& control();

// Of this process and thread, outside this library's own calls.
bool is_watched();

// While it lives, the thread's calls are this library's own.
class Own {
 public:
  Own();
  ~Own();
  Own(const Own&) = delete;
  Own& operator=(const Own&) = delete;

 private:
  bool before_;
};

// The number of the next call, from 1 on.
std::uint64_t next_call();

void log_call(std::uint64_t number, const char* name, const char* path);  // "17 write /path\n"

// One line: " module+offset module+offset ...", the innermost frame first.
void log_frames(void* const* frames, int depth);
void log_text(const char* text, std::size_t size);

}  // namespace failing_calls
