// The trainer as a container runs it: as process 1, to which the kernel gives no signal without a handler,
// and in a file system in which it may write nothing.
#include <csignal>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/support/program.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer::test {
namespace {

// The program as process 1 of a PID namespace of its own.
class FirstProcess {
 public:
  // Nothing is started where this user may not make such a namespace.
  explicit FirstProcess(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const unsigned long user = geteuid() == 0 ? 0 : CLONE_NEWUSER;
    pid_ = static_cast<pid_t>(
        syscall(SYS_clone, CLONE_NEWPID | user | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid_ != 0) return;
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int stream : {0, 1, 2}) dup2(nowhere, stream);
    execv(argv[0], argv.data());
    _exit(127);
  }
  FirstProcess(const FirstProcess&) = delete;
  FirstProcess& operator=(const FirstProcess&) = delete;
  ~FirstProcess() {
    if (!started()) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  bool started() const { return pid_ > 0; }

  // Whether it has a handler for the signal by now.
  bool handles(int signal) const {
    const std::string status = read_text("/proc/" + std::to_string(pid_) + "/status");
    const std::size_t at = status.find("SigCgt:");
    if (at == std::string::npos) return false;
    return (std::stoull(status.substr(at + 7), nullptr, 16) >> (signal - 1) & 1U) != 0;
  }

  // The exit status after this signal; -1 where it does not end by itself.
  int end_by(int signal) {
    kill(pid_, signal);
    int status = 0;
    if (!wait_until([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
};

// A benchmark, which takes longer than this test in any case, is no training.
TEST(FirstProcessOfAContainer, EndsOnSignalsOutsideATrainingToo) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    FirstProcess trainer({TRAINER_BINARY, "bench", "--threads", "1"});
    if (!trainer.started()) GTEST_SKIP() << "this user may not make a PID namespace";
    ASSERT_TRUE(wait_until([&] { return trainer.handles(signal); })) << "no handler for signal " << signal;
    EXPECT_EQ(trainer.end_by(signal), 128 + signal);
  }
}

std::string refusal(const RunEnvironment& environment) {
  try {
    (void)RunFolder::create({.model = "quick", .seed = 1, .started = 0, .out = std::nullopt}, environment);
  } catch (const FileError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(ResultsInAContainer, ThatCannotBeWrittenNameTheFolderToGiveIt) {
  const std::string inside =
      refusal({.working_folder = "/proc/self", .trainer_runs = std::nullopt, .inside_container = true});
  EXPECT_PRED2(contains, inside, "cannot write results in /proc/self/runs");
  EXPECT_PRED2(contains, inside, "docker run -v \"$PWD:/proc/self\" --user \"$(id -u):$(id -g)\"");
  EXPECT_PRED2(contains, inside, "--no-save");
  const std::string named =
      refusal({.working_folder = "/", .trainer_runs = "/proc/self/results", .inside_container = true});
  EXPECT_PRED2(contains, named, "docker run -v \"$PWD:/proc/self/results\"");
  const std::string outside =
      refusal({.working_folder = "/proc/self", .trainer_runs = std::nullopt, .inside_container = false});
  EXPECT_EQ(outside.find("docker"), std::string::npos) << outside;
}

}  // namespace
}  // namespace trainer::test
