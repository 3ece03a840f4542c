// posix_spawn, poll and waitpid. A program is over when it has ended, not when its pipes are: a connection
// that ssh keeps open in the background holds them longer.
#include "trainer/system/process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace trainer {

namespace {

constexpr int kTick = 100;  // milliseconds

// Both ends close with it.
class Pipe {
 public:
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw ProcessError("cannot make a pipe: " + std::generic_category().message(errno));
    read_ = ends[0];
    write_ = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return read_; }
  int write_end() const { return write_; }
  void close_read() { close_one(read_); }
  void close_write() { close_one(write_); }

 private:
  static void close_one(int& end) {
    if (end >= 0) ::close(std::exchange(end, -1));
  }
  int read_ = -1;
  int write_ = -1;
};

class SpawnSettings {
 public:
  explicit SpawnSettings(bool own_group) {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // What this program ignores or holds back is its own affair.
    sigset_t usual;
    sigemptyset(&usual);
    posix_spawnattr_setsigmask(&attributes, &usual);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ}) sigaddset(&usual, signal);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    const int group = own_group ? POSIX_SPAWN_SETPGROUP : 0;
    posix_spawnattr_setflags(&attributes,
                             static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

std::vector<std::string> environment_with(const std::vector<std::string>& variables) {
  std::vector<std::string> all = variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& variable : variables) replaced = replaced || variable.starts_with(name);
    if (!replaced) all.emplace_back(text);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

void direct(SpawnSettings& settings, int stream, int descriptor, const std::filesystem::path& file) {
  constexpr int kAnew = O_WRONLY | O_CREAT | O_TRUNC;
  if (descriptor >= 0)
    posix_spawn_file_actions_adddup2(&settings.actions, descriptor, stream);
  else if (!file.empty())
    posix_spawn_file_actions_addopen(&settings.actions, stream, file.c_str(), kAnew, 0600);
}

// A pipe that is read, and who gets what is read.
struct Source {
  int descriptor = -1;  // -1: at its end
  const Output* sink = nullptr;
};

// Hands on one piece of each source that has one. Waits up to `milliseconds` for the first; false: there was
// none.
bool read_pieces(std::array<Source, 2>& sources, int milliseconds) {
  std::array<pollfd, 2> waiting{};
  for (std::size_t i = 0; i < sources.size(); ++i) waiting[i] = {sources[i].descriptor, POLLIN, 0};
  if (::poll(waiting.data(), waiting.size(), milliseconds) <= 0) return false;
  bool any = false;
  std::array<char, 16384> buffer{};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].descriptor < 0 || waiting[i].revents == 0) continue;
    const ssize_t got = ::read(sources[i].descriptor, buffer.data(), buffer.size());
    if (got > 0) (*sources[i].sink)({buffer.data(), static_cast<std::size_t>(got)});
    if (got > 0) any = true;
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) sources[i].descriptor = -1;
  }
  return any;
}

}  // namespace

Process::Process(const ProcessCall& call, const Streams& streams) : last_signal_(call.last_signal) {
  SpawnSettings settings(call.own_group);
  if (streams.in >= 0)
    posix_spawn_file_actions_adddup2(&settings.actions, streams.in, 0);
  else if (!call.keeps_input)
    posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0);
  direct(settings, 1, streams.out, call.out_file);
  direct(settings, 2, streams.err, call.err_file);
  std::vector<std::string> words = call.words;
  std::vector<std::string> environment = environment_with(call.variables);
  std::vector<char*> argv = pointers(words);
  std::vector<char*> envp = pointers(environment);
  const int error =
      posix_spawnp(&child_, argv[0], &settings.actions, &settings.attributes, argv.data(), envp.data());
  if (error == 0) return;
  throw ProcessError(fmt::format("cannot start {}: {}: install it, or put it in PATH", call.words[0],
                                 std::generic_category().message(error)));
}

Process::~Process() {
  finish();
}

void Process::note(int status) {
  child_ = 0;
  end_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end_.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + end_.signal;
}

bool Process::has_ended() {
  int status = 0;
  if (child_ > 0 && ::waitpid(child_, &status, WNOHANG) == child_) note(status);
  return child_ == 0;
}

void Process::send(int signal) const {
  if (signal != 0 && child_ > 0) ::kill(child_, signal);
}

void Process::finish() {
  if (child_ == 0) return;
  send(last_signal_);
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) continue;
  note(status);
}

ProcessEnd run_process(const ProcessCall& call) {
  Pipe out;
  Pipe err;
  Process process(call, {call.input, call.out ? out.write_end() : -1, call.err ? err.write_end() : -1});
  out.close_write();
  err.close_write();
  std::array<Source, 2> sources{Source{call.out ? out.read_end() : -1, &call.out},
                                Source{call.err ? err.read_end() : -1, &call.err}};
  while (!process.has_ended()) {
    read_pieces(sources, sources[0].descriptor < 0 && sources[1].descriptor < 0 ? kTick / 10 : kTick);
    if (call.each_tick) process.send(call.each_tick());
  }
  while (read_pieces(sources, 0)) continue;
  return process.end();
}

ProcessOutput capture_process(std::vector<std::string> words, int input) {
  constexpr std::size_t kMost = std::size_t{16} << 20;
  ProcessOutput output;
  const auto append_to = [](std::string& text) {
    return [&text](std::string_view piece) {
      if (text.size() + piece.size() > kMost) throw ProcessError("a program's output is longer than 16 MiB");
      text += piece;
    };
  };
  ProcessCall call;
  call.words = std::move(words);
  call.out = append_to(output.out);
  call.err = append_to(output.err);
  call.input = input;
  output.code = run_process(call).code;
  return output;
}

PipeEnds run_pipe(const std::vector<std::string>& from, const std::vector<std::string>& to,
                  const Output& notices) {
  Pipe between;
  Pipe err;
  ProcessCall first;
  first.words = from;
  Process source(first, {-1, between.write_end(), err.write_end()});
  ProcessCall second;
  second.words = to;
  Process sink(second, {between.read_end(), err.write_end(), err.write_end()});
  between.close_read();
  between.close_write();
  err.close_write();
  std::array<Source, 2> sources{Source{err.read_end(), &notices}, Source{}};
  for (bool from_ended = false, to_ended = false; !from_ended || !to_ended;) {
    read_pieces(sources, kTick);
    from_ended = source.has_ended();
    to_ended = sink.has_ended();
  }
  while (read_pieces(sources, 0)) continue;
  return {source.end(), sink.end()};
}

}  // namespace trainer
