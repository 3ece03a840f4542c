// posix_spawn, poll and waitpid. A program is over when it has ended, not when its pipes are: a connection
// that ssh keeps open in the background holds them longer.
#include "trainer/system/process.hpp"

#include <algorithm>
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

struct Pipe {
  Descriptor read;
  Descriptor write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw ProcessError("cannot make a pipe: " + std::generic_category().message(errno));
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

class SpawnSettings {
 public:
  explicit SpawnSettings(bool own_group) {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // Signals that this program ignores or blocks have their default effect in the child.
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

  void give(int stream, int descriptor) {
    if (descriptor >= 0) posix_spawn_file_actions_adddup2(&actions, descriptor, stream);
  }
  void open(int stream, const std::filesystem::path& file, int flags) {
    if (!file.empty()) posix_spawn_file_actions_addopen(&actions, stream, file.c_str(), flags, 0600);
  }

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

Output append_to(std::string& text) {
  return [&text](std::string_view piece) {
    constexpr std::size_t kMost = std::size_t{16} << 20;
    if (text.size() + piece.size() > kMost) throw ProcessError("a program's output is longer than 16 MiB");
    text += piece;
  };
}

}  // namespace

Process::Process(const ProcessCall& call, const Plumbing& plumbing)
    : sources_{Source{{}, call.out}, Source{{}, call.err}} {
  SpawnSettings settings(call.own_group);
  if (!call.keeps_input) settings.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  settings.give(STDIN_FILENO, plumbing.in);
  settings.open(STDOUT_FILENO, call.out_file, O_WRONLY | O_CREAT | O_TRUNC);
  settings.open(STDERR_FILENO, call.err_file, O_WRONLY | O_CREAT | O_TRUNC);
  settings.give(STDOUT_FILENO, plumbing.out);
  std::array<Pipe, 2> pipes;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    if (!sources_[i].sink) continue;
    pipes[i] = make_pipe();
    settings.give(STDOUT_FILENO + static_cast<int>(i), pipes[i].write.number());
    sources_[i].descriptor = std::move(pipes[i].read);
  }
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

// Delivers one piece from each source that has one, after waiting up to `milliseconds` for the first. False if there was none.
bool Process::read_pieces(int milliseconds) {
  std::array<pollfd, 2> waiting{};
  for (std::size_t i = 0; i < sources_.size(); ++i)
    waiting[i] = {sources_[i].descriptor.number(), POLLIN, 0};  // poll skips -1
  if (::poll(waiting.data(), waiting.size(), milliseconds) <= 0) return false;
  bool any = false;
  std::array<char, 16384> buffer{};
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (waiting[i].revents == 0) continue;
    const ssize_t got = ::read(waiting[i].fd, buffer.data(), buffer.size());
    if (got > 0) sources_[i].sink({buffer.data(), static_cast<std::size_t>(got)});
    if (got > 0) any = true;
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) sources_[i].descriptor = Descriptor();
  }
  return any;
}

bool Process::pump() {
  if (has_ended()) {
    while (read_pieces(0)) continue;
    return false;
  }
  const bool is_silent =
      std::ranges::none_of(sources_, [](const Source& one) { return one.descriptor.is_open(); });
  read_pieces(is_silent ? kTick / 10 : kTick);
  return true;
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
  send(SIGKILL);
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) continue;
  note(status);
}

ProcessEnd run_process(const ProcessCall& call) {
  Process process(call);
  while (process.pump()) continue;
  return process.end();
}

ProcessOutput capture_process(std::vector<std::string> words, bool own_group) {
  ProcessOutput output;
  output.code = run_process({.words = std::move(words),
                             .out = append_to(output.out),
                             .err = append_to(output.err),
                             .own_group = own_group})
                    .code;
  return output;
}

PipeOutput capture_pipe(std::vector<std::string> from, std::vector<std::string> to, bool own_group) {
  PipeOutput output;
  Pipe pipe = make_pipe();
  Process source({.words = std::move(from), .err = append_to(output.from.err), .own_group = own_group},
                 {.out = pipe.write.number()});
  pipe.write = Descriptor();
  Process sink({.words = std::move(to),
                .out = append_to(output.to.out),
                .err = append_to(output.to.err),
                .own_group = own_group},
               {.in = pipe.read.number()});
  pipe.read = Descriptor();
  for (bool go_on = true; go_on;) {
    const bool first = source.pump();
    go_on = sink.pump() || first;
  }
  output.from.code = source.end().code;
  output.to.code = sink.end().code;
  return output;
}

}  // namespace trainer
