// Argument vectors on their way: through a child process unchanged, through a real shell and back unchanged,
// and onto the command lines of ssh.
#include "trainer/system/process.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/remote/sample_target.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/remote/connection.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {
namespace {

using test::TemporaryFolder;
using test::vm;
using Strings = std::vector<std::string>;

const Strings& hostile_words() {
  static const Strings words{"plain",     "two words", "",         "it's",  "\"double\"", "$(touch x)",
                             "`touch x`", "a\nb\n",    "\\",       "'\\''", "$HOME",      "*",
                             "~",         "a;b|c&d",   "-o",       "--",    "#",          "!x",
                             "\t tab",    "é\xff",     "'",        "''",    "a=b",        "{a,b}",
                             "end\\",     "\n",        "> /dev/x", "$'x'",  "%s",         "\r"};
  return words;
}

// Each word ended by a zero byte, as a program received it.
std::string received(const Strings& words) {
  std::string text;
  for (const std::string& word : words) text += word + '\0';
  return text;
}

TEST(ShellWords, ARealShellGivesEveryWordBack) {
  Strings command{"printf", "%s\\0"};
  command.insert(command.end(), hostile_words().begin(), hostile_words().end());
  const ProcessOutput output = capture_process({"/bin/sh", "-c", shell_command(command)});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.err, "");
  EXPECT_EQ(output.out, received(hostile_words()));
}

TEST(ShellWords, HarmlessWordsStayReadable) {
  EXPECT_EQ(shell_command({"docker", "run", "--name", "20260101-093000-quick-1"}),
            "docker run --name 20260101-093000-quick-1");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_THROW((void)shell_word(std::string_view("a\0b", 3)), UsageError);
}

TEST(Process, GetsItsArgumentsAndVariablesUnchanged) {
  Strings command{"printf", "%s\\0"};
  command.insert(command.end(), hostile_words().begin(), hostile_words().end());
  EXPECT_EQ(capture_process(command).out, received(hostile_words()));
  ProcessCall call;
  call.words = {"/bin/sh", "-c", "printf %s \"$ODD_VALUE\""};
  call.variables = {"ODD_VALUE=two\nlines $(id) 'x'"};
  std::string text;
  call.out = [&](std::string_view piece) { text += piece; };
  EXPECT_EQ(run_process(call).code, 0);
  EXPECT_EQ(text, "two\nlines $(id) 'x'");
}

TEST(Process, SaysHowItEnded) {
  EXPECT_EQ(capture_process({"/bin/sh", "-c", "exit 7"}).code, 7);
  const ProcessOutput output = capture_process({"/bin/sh", "-c", "echo a; echo b >&2; kill -9 $$"});
  EXPECT_EQ(output.code, 128 + SIGKILL);
  EXPECT_EQ(output.out, "a\n");
  EXPECT_EQ(output.err, "b\n");
  EXPECT_THROW((void)capture_process({"/nowhere/no-such-program"}), ProcessError);
}

TEST(Process, LongOutputComesWhole) {
  const ProcessOutput output =
      capture_process({"/bin/sh", "-c", "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2"});
  EXPECT_EQ(output.out.size(), 3000000U);
  EXPECT_EQ(output.err.size(), 2000000U);
}

TEST(Process, OutputComesWhileItRuns) {
  const TemporaryFolder folder;
  const std::string go_on = (folder / "go-on").string();
  ProcessCall call;
  call.words = {"/bin/sh", "-c", "echo first; while [ ! -e \"$1\" ]; do sleep 0.01; done; echo second", "sh",
                go_on};
  std::string text;
  call.out = [&](std::string_view piece) {
    if (text.empty()) folder.write("go-on", "");
    text += piece;
  };
  EXPECT_EQ(run_process(call).code, 0);
  EXPECT_EQ(text, "first\nsecond\n");
}

TEST(Process, IsNotWaitedForBeyondItsEnd) {
  const TemporaryFolder folder;
  const std::string file = (folder / "pid").string();
  const ProcessOutput output =
      capture_process({"/bin/sh", "-c", "sleep 600 & echo $! >\"$1\"; echo done", "sh", file});
  EXPECT_EQ(output.out, "done\n");
  kill(std::stoi(test::read_text(file)), SIGKILL);
}

TEST(Process, ASignalIsHandedOn) {
  ProcessCall call;
  call.words = {"/bin/sh", "-c", "trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done"};
  call.own_group = true;
  bool ready = false;
  call.out = [&](std::string_view) { ready = true; };
  Process process(call);
  while (process.pump()) process.send(ready ? SIGINT : 0);
  EXPECT_EQ(process.end().code, 42);
}

TEST(Process, AnExceptionOfACallbackEndsIt) {
  ProcessCall call;
  call.words = {"/bin/sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.01; done"};
  pid_t shell = 0;
  call.out = [&](std::string_view text) {
    shell = std::stoi(std::string(text));
    throw std::runtime_error("enough");
  };
  EXPECT_THROW(run_process(call), std::runtime_error);
  EXPECT_NE(kill(shell, 0), 0);
}

TEST(Process, WhatThisProgramIgnoresItsChildDoesNot) {
  void (*const former)(int) = std::signal(SIGPIPE, SIG_IGN);
  const ProcessOutput output = capture_process({"/bin/sh", "-c", "kill -PIPE $$; echo still here"});
  std::signal(SIGPIPE, former);
  EXPECT_EQ(output.code, 128 + SIGPIPE);
}

TEST(Process, APipeHasBothEnds) {
  const TemporaryFolder folder;
  const std::string file = (folder / "copy").string();
  const PipeOutput ends = capture_pipe({"/bin/sh", "-c", "head -c 1000000 /dev/zero; echo out >&2; exit 3"},
                                       {"/bin/sh", "-c", "cat >\"$1\"; echo in; exit 4", "sh", file});
  EXPECT_EQ(ends.from.code, 3);
  EXPECT_EQ(ends.from.err, "out\n");
  EXPECT_EQ(ends.to.code, 4);
  EXPECT_EQ(ends.to.out, "in\n");
  EXPECT_EQ(std::filesystem::file_size(file), 1000000U);
}

// The path of the shared connection's socket on a command line of ssh.
std::string control_path(const Strings& words) {
  const auto word =
      std::ranges::find_if(words, [](const std::string& w) { return w.starts_with("ControlPath="); });
  return word == words.end() ? "" : *word;
}

TEST(Ssh, CommandLineIsAsItShouldBe) {
  Target target = vm();
  target.identity_file = "/keys/my key%h";
  target.ssh_config = "/etc/my config";
  Strings words = ssh_words(target, "/run/user/1/mnist-trainer");
  const std::string path = control_path(words);
  EXPECT_TRUE(path.starts_with("ControlPath=/run/user/1/mnist-trainer/ssh-")) << path;
  EXPECT_EQ(path.size(), std::string("ControlPath=/run/user/1/mnist-trainer/ssh-").size() + 16);
  std::ranges::replace(words, path, "");
  EXPECT_EQ(words, (Strings{"ssh", "-T",
                            "-F",  "/etc/my config",
                            "-o",  "BatchMode=yes",
                            "-o",  "ConnectTimeout=10",
                            "-o",  "ServerAliveInterval=5",
                            "-o",  "ServerAliveCountMax=3",
                            "-o",  "LogLevel=INFO",
                            "-o",  "RemoteCommand=none",
                            "-o",  "ClearAllForwardings=yes",
                            "-o",  "ExitOnForwardFailure=no",
                            "-o",  "ForwardX11=no",
                            "-o",  "ForwardAgent=no",
                            "-o",  "PermitLocalCommand=no",
                            "-o",  "ControlMaster=auto",
                            "-o",  "",
                            "-o",  "ControlPersist=60",
                            "-o",  "IdentitiesOnly=yes",
                            "-i",  "/keys/my key%%h",
                            "-p",  "2222",
                            "--",  "me@vm.example.com"}));
}

TEST(Ssh, ItsConfigurationDecidesWhatTheTargetLeavesOpen) {
  Target target = vm();
  target.port = 0;
  target.username = "";
  const Strings words = ssh_words(target, "/c");
  EXPECT_EQ(std::ranges::count(words, "-p"), 0);
  EXPECT_EQ(std::ranges::count(words, "-i"), 0);
  EXPECT_EQ(words.back(), "vm.example.com");
}

TEST(Ssh, ATildeIsTheHomeFolder) {
  const std::string home = std::getenv("HOME") == nullptr ? "~" : std::getenv("HOME");
  Target target = vm();
  target.identity_file = "~/.ssh/lab";
  const Strings words = ssh_words(target, "/c");
  EXPECT_EQ(std::ranges::count(words, home + "/.ssh/lab"), 1);
  EXPECT_EQ(without_tilde("~"), "~");
  EXPECT_EQ(without_tilde("a/~/b"), "a/~/b");
}

TEST(Ssh, TargetsThatDifferShareNoConnection) {
  const auto path = [](const Target& target) { return control_path(ssh_words(target, "/c")); };
  Target other = vm();
  other.name = "another name";
  EXPECT_EQ(path(vm()), path(other));
  other.identity_file = "key";
  EXPECT_NE(path(vm()), path(other));
  other = vm();
  other.port = 22;
  EXPECT_NE(path(vm()), path(other));
}

TEST(Ssh, TheCommandIsOneWordOfHarmlessCharacters) {
  const TemporaryFolder folder;
  const Connection connection(vm(), folder.path());
  const Strings words = connection.words({"docker", "run", "--env", "A=b c\n$(id)"});
  EXPECT_EQ(words.back(),
            "/bin/sh -c 'eval \"$(printf %b \"$@\")\"' sh 'echo mnist-trainer-answers:\\0073 echo "
            "mnist-trainer-answers: \\0076\\00462\\0073 docker run --env "
            "\\0047A=b c\\0012\\0044\\0050id\\0051\\0047'");
  EXPECT_EQ(words[words.size() - 2], "me@vm.example.com");
  EXPECT_EQ(words[words.size() - 3], "--");
  const std::string piped = connection.piped_words({"docker", "cp"}, {"sha256sum"}).back();
  EXPECT_TRUE(piped.ends_with("docker cp \\0174 sha256sum'")) << piped;
  Target here;
  here.type = TargetType::localdocker;
  EXPECT_EQ(Connection(here, folder.path()).words({"docker", "ps"}), (Strings{"docker", "ps"}));
}

TEST(Ssh, TheSocketsFolderIsTheUsersOwn) {
  char short_name[] = "/tmp/sockets-XXXXXX";  // a long TMPDIR would give the user's real folder
  const std::filesystem::path folder = mkdtemp(short_name);
  const std::filesystem::path made = control_folder(folder);
  ASSERT_EQ(made, folder / "mnist-trainer");
  EXPECT_EQ(std::filesystem::status(made).permissions(), std::filesystem::perms::owner_all);
  ASSERT_EQ(chmod(made.c_str(), 0777), 0);
  EXPECT_THROW((void)control_folder(folder), FileError);
  const std::string fallback = "/tmp/mnist-trainer-" + std::to_string(geteuid());
  EXPECT_EQ(control_folder(""), fallback);
  EXPECT_EQ(control_folder(folder / std::string(100, 'x')), fallback);
  EXPECT_EQ(control_folder("/run/a b"), fallback);
  EXPECT_EQ(control_folder(folder / "not/there"), fallback);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace trainer
