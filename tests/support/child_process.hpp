// A program as a user starts it: arguments, environment, working folder; its output, its end, and signals on
// the way.
//   ChildProcess child({TRAINER_BINARY, "models"});
//   const Outcome outcome = child.wait();
#pragma once

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/support/temporary_folder.hpp"

namespace trainer::test {

struct ChildOptions {
  std::vector<std::string> environment;  // "NAME=value", over the test's own; TRAINER_* of that are left out
  std::string folder;                    // to run in; empty: the test's
};

struct Outcome {
  int code = -1;   // exit status; 128 + signal for a death by signal, as the shell has it
  int signal = 0;  // that it died by
  std::string out;
  std::string err;
};

class ChildProcess {
 public:
  explicit ChildProcess(const std::vector<std::string>& arguments, const ChildOptions& options = {}) {
    std::vector<std::string> words = arguments;
    std::vector<std::string> environment = environment_of(options);
    std::vector<char*> argv = pointers(words);
    std::vector<char*> envp = pointers(environment);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, (output_ / "out").c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (output_ / "err").c_str(), O_WRONLY | O_CREAT, 0600);
    if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
    const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start " + words[0]);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  // Nothing if it has ended: process 0 would be this test's own group.
  void send(int signal) const {
    if (pid_ > 0) kill(pid_, signal);
  }
  std::string output_so_far() const { return read_text(output_ / "out"); }

  bool ended() {
    if (pid_ <= 0) return true;
    const pid_t got = waitpid(pid_, &status_, WNOHANG);
    if (got == pid_) pid_ = 0;
    return pid_ == 0;
  }

  // Waits for the end, once.
  Outcome wait() {
    while (pid_ > 0 && waitpid(pid_, &status_, 0) < 0 && errno == EINTR) continue;
    pid_ = 0;
    Outcome outcome;
    outcome.signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0;
    outcome.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + outcome.signal;
    outcome.out = read_text(output_ / "out");
    outcome.err = read_text(output_ / "err");
    return outcome;
  }

 private:
  // Threads that wait asleep, because tests share a machine.
  static std::vector<std::string> environment_of(const ChildOptions& options) {
    std::vector<std::string> all{"OMP_WAIT_POLICY=passive"};
    all.insert(all.end(), options.environment.begin(), options.environment.end());
    const std::size_t given = all.size();
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      if (text.starts_with("TRAINER_") || text.starts_with("OMP_")) continue;
      const std::string_view name = text.substr(0, text.find('=') + 1);
      const auto same = [name](const std::string& other) { return other.starts_with(name); };
      if (std::none_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(given), same))
        all.emplace_back(text);
    }
    return all;
  }

  static std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> all;
    for (std::string& word : words) all.push_back(word.data());
    all.push_back(nullptr);
    return all;
  }

  TemporaryFolder output_;
  pid_t pid_ = 0;
  int status_ = 0;
};

}  // namespace trainer::test
