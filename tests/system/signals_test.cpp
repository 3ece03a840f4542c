// Signals, sent for real: to this process, and to children where the process is meant to end.
#include "trainer/system/signals.hpp"

#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trainer {
namespace {

// The wait status of a child that runs `body` and then exits with 0.
template <class Body>
int status_of_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(Signals, TheFirstOneIsRemembered) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const SignalGuard guard;
    EXPECT_EQ(guard.stop_signal(), 0);
    raise(signal);
    EXPECT_EQ(guard.stop_signal(), signal);
  }
}

TEST(Signals, AClosedTerminalCountsAsATermination) {
  std::signal(SIGHUP, SIG_DFL);  // under nohup it is ignored
  const SignalGuard guard;
  raise(SIGHUP);
  EXPECT_EQ(guard.stop_signal(), SIGTERM);
}

TEST(Signals, TheSecondOneEndsTheProcessAtOnce) {
  const int status = status_of_child([] {
    const SignalGuard guard;
    raise(SIGTERM);
    usleep(100'000);
    raise(SIGINT);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

TEST(Signals, TheSameRequestMayArriveTwice) {
  const SignalGuard guard;
  raise(SIGTERM);
  raise(SIGTERM);
  EXPECT_EQ(guard.stop_signal(), SIGTERM);
}

TEST(Signals, FormerHandlersReturn) {
  const int status = status_of_child([] {
    { const SignalGuard guard; }
    raise(SIGTERM);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST(Signals, ARequestThatIsHeldReachesTheGuard) {
  const int status = status_of_child([] {
    hold_stop_requests();
    raise(SIGUSR1);
    const SignalGuard guard;
    _exit(guard.stop_signal());
  });
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), SIGTERM);
}

TEST(Signals, AHangupThatWasIgnoredStaysIgnored) {
  const int status = status_of_child([] {
    std::signal(SIGHUP, SIG_IGN);
    const SignalGuard guard;
    raise(SIGHUP);
    _exit(guard.stop_signal());
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Signals, WritingIntoAClosedPipeIsAnError) {
  const int status = status_of_child([] {
    const SignalGuard guard;
    int ends[2];
    if (pipe(ends) != 0) _exit(1);
    close(ends[0]);
    _exit(write(ends[1], "x", 1) < 0 && errno == EPIPE ? 7 : 1);
  });
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace trainer
