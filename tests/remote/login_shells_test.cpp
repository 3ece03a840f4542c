// Commands through the login shells that people have: every byte and every pair of special characters arrives as it was, whatever
// the shell prints before is passed over, and a shell that runs nothing is told from a command that fails.
#include <gtest/gtest.h>

#include "tests/remote/sample_target.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/remote/connection.hpp"

namespace trainer {
namespace {

using Strings = std::vector<std::string>;
using test::vm;

// Every byte that an argument may hold, pairs of what shells treat specially, and a long word.
Strings words_of_all_bytes() {
  Strings words;
  for (int byte = 1; byte < 256; ++byte) words.emplace_back(1, static_cast<char>(byte));
  const std::string special = "'\"\\\n!$`#~* ";
  for (const char first : special)
    for (const char second : special) {
      words.push_back(std::string{first, second});
      words.push_back(std::string{'a', first, second, 'b'});
    }
  words.emplace_back("");
  words.emplace_back(5000, '!');
  return words;
}

class LoginShell : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (capture_process({"/bin/sh", "-c", "command -v \"$1\"", "sh", GetParam()}).code != 0)
      GTEST_SKIP() << GetParam() << " is not installed";
  }
  // What sshd does with a command.
  static ProcessOutput run(const std::string& command) {
    return capture_process({GetParam(), "-c", command});
  }
};

TEST_P(LoginShell, GivesEveryByteToTheProgram) {
  const Strings words = words_of_all_bytes();
  Strings command{"printf", "%s\\0"};
  command.insert(command.end(), words.begin(), words.end());
  std::string expected;
  for (const std::string& word : words) expected += word + '\0';
  const ProcessOutput output = run(login_shell_command(shell_command(command)));
  EXPECT_EQ(output.err, "");
  EXPECT_EQ(output.code, 0);
  EXPECT_TRUE(output.out == expected);
}

TEST_P(LoginShell, GivesTheStatusAndTheInput) {
  EXPECT_EQ(run(login_shell_command("exit 7")).code, 7);
  const PipeOutput ends =
      capture_pipe({"printf", "a\\nb"}, {GetParam(), "-c", login_shell_command("cat; echo; echo end")});
  EXPECT_EQ(ends.to.out, "a\nb\nend\n");
}

TEST_P(LoginShell, MayPrintWhatItLikesBefore) {
  const test::TemporaryFolder folder;
  const Connection connection(vm(), folder.path());
  const std::string command = connection.words({"printf", "an answer\n"}).back();
  const ProcessOutput noisy = connection.answer(run("echo Welcome; " + command));
  EXPECT_EQ(noisy.out, "an answer\n");
  EXPECT_EQ(noisy.err, "");
  EXPECT_EQ(noisy.code, 0);
}

INSTANTIATE_TEST_SUITE_P(Shells, LoginShell,
                         testing::Values("sh", "bash", "dash", "zsh", "fish", "tcsh", "csh", "ksh"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TurnedAway, IsToldWithTheSentenceOfTheLogin) {
  const test::TemporaryFolder folder;
  const Connection connection(vm(), folder.path());
  const auto told = [&](int code, const char* out) {
    return explain_failure(vm(), connection.answer({code, out, ""}));
  };
  const Failure user = told(142, "Please login as the user \"ubuntu\" rather than the user \"root\".\n\n");
  EXPECT_EQ(user.key, "target-other-user");
  EXPECT_NE(user.cause.find("\"ubuntu\""), std::string::npos) << user.cause;
  EXPECT_EQ(told(1, "This account is currently not available.\n").key, "target-no-login");
  const Failure other = told(0, "Only git is served here.\n");
  EXPECT_EQ(other.key, "target-turned-away");
  EXPECT_NE(other.cause.find("Only git is served here."), std::string::npos) << other.cause;
  EXPECT_EQ(connection.answer({255, "", "lost"}).code, kSshFailed);
}

TEST(AnswerStream, FindsItsMarkInPieces) {
  AnswerStream stream(true);
  EXPECT_EQ(stream("Welcome mnist-trainer-"), "");
  EXPECT_EQ(stream("answers:"), "");
  EXPECT_EQ(stream("\nfirst"), "first");
  EXPECT_EQ(stream("mnist-trainer-answers:\n"), "mnist-trainer-answers:\n");
  AnswerStream plain(false);
  EXPECT_EQ(plain("x"), "x");
}

}  // namespace
}  // namespace trainer
