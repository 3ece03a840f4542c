#include "trainer/doctor/apart.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

// Writes lines of a pair each: "told" and a value, "error" and a text, "ended".
[[noreturn]] void work_and_tell(const std::function<void(const Tell&)>& work, int pipe) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream = 0; stream <= 2; ++stream) dup2(nothing, stream);
  std::FILE* out = fdopen(pipe, "w");
  const auto write = [&](const char* kind, const nlohmann::ordered_json& value) {
    const std::string line = to_text(nlohmann::ordered_json::array({kind, value})) + "\n";
    if (out == nullptr || std::fputs(line.c_str(), out) < 0 || std::fflush(out) != 0) _exit(1);
  };
  try {
    work([&](const nlohmann::ordered_json& value) { write("told", value); });
  } catch (const std::exception& error) {
    write("error", error.what());
  }
  write("ended", nullptr);
  _exit(0);
}

// Reads until the end or the limit, without a line that is not whole.
std::string read_lines(int pipe, Clock::time_point start, double seconds) {
  constexpr double kLongestWait = 1000;
  std::string text;
  std::array<char, 4096> piece{};
  while (seconds_since(start) < seconds) {
    pollfd wait{pipe, POLLIN, 0};
    const double left = std::clamp(seconds - seconds_since(start), 0.0, kLongestWait);
    if (poll(&wait, 1, static_cast<int>(1000 * left) + 1) <= 0) continue;
    const ssize_t got = read(pipe, piece.data(), piece.size());
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text.substr(0, text.rfind('\n') + 1);
}

}  // namespace

Told work_apart(const std::function<void(const Tell&)>& work, double seconds) {
  Told told;
  std::array<int, 2> ends{-1, -1};
  const pid_t child = pipe2(ends.data(), O_CLOEXEC) == 0 ? fork() : -1;
  if (child == 0) work_and_tell(work, ends[1]);
  if (child < 0) told.error = std::string("a process cannot be started: ") + std::strerror(errno);
  const Descriptor in(ends[0]);
  { const Descriptor closed(ends[1]); }
  if (child < 0) return told;
  const Clock::time_point start = Clock::now();
  std::istringstream lines(read_lines(in.number(), start, seconds));
  for (std::string text; std::getline(lines, text);) {
    const auto line = nlohmann::ordered_json::parse(text);
    told.ended = line[0] == "ended";
    if (line[0] == "error") told.error = line[1];
    if (line[0] == "told") told.values.push_back(line[1]);
  }
  int status = 0;
  while (seconds_since(start) < seconds && waitpid(child, &status, WNOHANG) == 0) usleep(1000);
  told.crashed = WIFSIGNALED(status);
  if (seconds_since(start) >= seconds) kill(child, SIGKILL);
  return told;
}

}  // namespace trainer::doctor
