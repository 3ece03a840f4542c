// Runs as containers: docker's argument vectors word for word, what its answers mean, and what its complaints
// and those of ssh are turned into.
#include "trainer/remote/container.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/remote/sample_target.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/system/files.hpp"

namespace trainer {
namespace {

using test::vm;
using Strings = std::vector<std::string>;

TEST(Docker, RunIsOneArgumentVector) {
  Target target = vm();
  target.image = "mnist-trainer:1.0";
  target.gpus = "0,1";
  target.variables = {{"A", "b c\n$(id)"}, {"E", ""}};
  const ContainerRun run{"20260101-093000-quick-1",
                         {"train", "--data", "it's \"x\"", "--out=/runs/20260101-093000-quick-1"},
                         {{"/a \"b\",c", "/sent/model/n.yaml"}}};
  EXPECT_EQ(run_words(target, run),
            (Strings{"docker",
                     "run",
                     "--detach",
                     "--name",
                     "20260101-093000-quick-1",
                     "--label",
                     "org.mnist-trainer.run=20260101-093000-quick-1",
                     "--pull",
                     "never",
                     "--network",
                     "none",
                     "--gpus",
                     "\"device=0,1\"",
                     "--env",
                     "A=b c\n$(id)",
                     "--env",
                     "E=",
                     "--mount",
                     "type=bind,\"source=/a \"\"b\"\",c\",\"target=/sent/model/n.yaml\",readonly",
                     "--",
                     "mnist-trainer:1.0",
                     "train",
                     "--data",
                     "it's \"x\"",
                     "--out=/runs/20260101-093000-quick-1"}));
  ContainerRun resumed = run;
  resumed.resumed = "/here/20260101-093000-quick-1";
  const Strings words = run_words(target, resumed);
  EXPECT_EQ(words[1], "create");
  EXPECT_EQ(words[2], "--name");
}

TEST(Docker, RanksGetTheSharedMemoryThatTheyExchangeThrough) {
  const auto words = [](const Strings& arguments) {
    return fmt::format("{}", fmt::join(run_words(vm(), {"r", arguments}), " "));
  };
  const std::string start =
      "docker run --detach --name r --label org.mnist-trainer.run=r --pull never --network none ";
  EXPECT_EQ(words({"train", "--ranks", "4"}), start + "--shm-size 1g -- trainer:1 train --ranks 4");
  EXPECT_EQ(words({"train", "--ranks=4"}), start + "--shm-size 1g -- trainer:1 train --ranks=4");
  EXPECT_EQ(words({"train", "--batch", "64"}), start + "-- trainer:1 train --batch 64");
}

TEST(Docker, TheOtherCommandsPutTheNameBehindTheDashes) {
  EXPECT_EQ(docker_words({"logs", "--follow"}, "r"), (Strings{"docker", "logs", "--follow", "--", "r"}));
  EXPECT_EQ(copy_words("r"), (Strings{"docker", "cp", "--", "r:/runs/r", "-"}));
  EXPECT_EQ(gpus_argument("all"), "all");
  EXPECT_EQ(gpus_argument("none"), "");
  EXPECT_EQ(gpus_argument("2"), "\"device=2\"");
}

TEST(Docker, AStateIsUnderstoodOrRefused) {
  const auto out_of_memory = parse_state(R"({"Status":"exited","ExitCode":137,"OOMKilled":true,"Error":""})");
  ASSERT_TRUE(out_of_memory);
  EXPECT_EQ(out_of_memory->exit_code, 137);
  EXPECT_EQ(out_of_memory->text, "the container was killed: it had used up its memory");
  EXPECT_EQ(parse_state(R"({"ExitCode":137})")->text, "the container was killed (signal 9)");
  EXPECT_EQ(parse_state(R"({"ExitCode":127,"Error":"no x"})")->text,
            "the container could not be started: no x");
  EXPECT_EQ(parse_state(R"({"ExitCode":1})")->text, "");
  for (const char* bad : {"", "null", "[]", "{}", R"({"ExitCode":"2"})", R"({"Status":"exited"})", "{",
                          R"({"ExitCode":1e300})", R"({"ExitCode":4294967296})", R"({"ExitCode":1.5})",
                          R"({"ExitCode":1,"OOMKilled":1})", R"({"ExitCode":1,"Error":null})"})
    EXPECT_FALSE(parse_state(bad)) << bad;
}

struct Complaint {
  const char* said;
  int code;
  const char* key;
  const char* cause;
  const char* fix;
};

constexpr Complaint kComplaints[] = {
    {"No ED25519 host key is known for vm.example.com and you have requested strict checking.\r\nHost key "
     "verification failed.\r\n",
     255, "target-host-key", "the host key of vm.example.com is not known", "compare the fingerprint"},
    {"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n", 255,
     "target-host-key-changed", "the host key of vm.example.com has changed", "ssh-keygen -R vm.example.com"},
    {"me@vm.example.com: Permission denied (publickey).\r\n", 255, "target-key-refused",
     "does not take the key for user me", "authorized_keys"},
    {"ssh: connect to host vm.example.com port 22: Connection refused\r\n", 255, "target-refuses",
     "vm.example.com refuses the connection", "ssh -p 2222 me@vm.example.com"},
    {"ssh: Could not resolve hostname vm.example.com: Name or service not known\r\n", 255, "target-name",
     "no address is known", "see that the machine runs"},
    {"", 255, "target-lost", "the connection to vm.example.com failed", "see that the machine runs"},
    {"sh: 1: docker: not found\n", 127, "docker-absent", "it has no docker program", "install Docker"},
    {"permission denied while trying to connect to the Docker daemon socket at "
     "unix:///var/run/docker.sock: dial "
     "unix /var/run/docker.sock: connect: permission denied\n",
     1, "docker-rights", "user me may not use Docker's socket", "sudo usermod -aG docker me"},
    {"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n", 1,
     "docker-stopped", "its Docker engine does not run", "systemctl start docker"},
    {"docker: Error response from daemon: No such image: trainer:1.\n", 125, "docker-no-image",
     "it has no image trainer:1", "trainer prepare -c vm"},
    {"write /blobs/x: no space left on device\n", 1, "docker-disk", "its disk is full", "free space"},
    {"docker: Error response from daemon: could not select device driver \"\" with capabilities: "
     "[[gpu]].\n",
     125, "container-toolkit", "the NVIDIA Container Toolkit is not set up", "nvidia-ctk runtime configure"},
    {"Error response from daemon: No such container: r\n", 1, "docker-no-container",
     "the run's container is not there any more", "start the run again"},
    {"docker: Error response from daemon: failed to initialize logging driver: dial tcp 127.0.0.1:24224: "
     "connect: "
     "connection refused.\n\nRun 'docker run --help' for more information\n",
     125, "docker-log-driver", "connect: connection refused.)", "daemon.json"},
    {"docker: Error response from daemon: something new\nand more\n\nRun 'docker run --help' for more "
     "information\n",
     125, "", "docker: Error response from daemon: something new and more", ""},
    {"docker: Error response from daemon: failed to create task for container: OCI runtime create failed: "
     "runc "
     "create failed: unable to start container process: exec: \"trainer\": executable file not found in "
     "$PATH: "
     "unknown\n\nRun 'docker run --help' for more information\n",
     127, "docker-no-program", "executable file not found in $PATH", ""},
    {"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nOffending ED25519 key in "
     "/k/known:1\nHost key "
     "for [vm.example.com]:2222 has changed and you have requested strict checking.\nHost key verification "
     "failed.\n",
     255, "target-host-key-changed", "the host key of vm.example.com has changed",
     "ssh-keygen -R \"[vm.example.com]:2222\" -f /k/known"},
    {"me@jump: Permission denied (publickey).\nConnection closed by UNKNOWN port 65535\n", 255, "target-jump",
     "(me@jump: Permission denied (publickey).)", ""},
    {"first\nsomething\x1b[31m else\n\n", 3, "", "something [31m else", ""},
    {"", 3, "", "a command failed with status 3", ""},
};

TEST(FailureText, LeadsFromWhatWasSaidToWhatToDo) {
  for (const Complaint& complaint : kComplaints) {
    const Failure failure = explain_failure(vm(), {complaint.code, "", complaint.said});
    EXPECT_EQ(failure.key, complaint.key) << complaint.said;
    EXPECT_NE(failure.cause.find(complaint.cause), std::string::npos) << failure.cause;
    EXPECT_NE(failure.fix.find(complaint.fix), std::string::npos) << failure.fix;
    EXPECT_EQ(failure.text().find_first_of("\r\n\x1b"), std::string::npos) << failure.text();
  }
}

TEST(FailureText, SpeaksOfThisMachineWhereTheEngineIsHere) {
  Target here = vm();
  here.type = TargetType::localdocker;
  EXPECT_EQ(
      explain_failure(here, {1, "", "Cannot connect to the Docker daemon at unix:///x."}).text(": "),
      "its Docker engine does not run (Cannot connect to the Docker daemon at unix:///x.): 'sudo systemctl "
      "start docker', and 'systemctl status docker' for the reason");
  EXPECT_EQ(explain_failure(here, {255, "", "connect: connection refused"}).key, "") << "no ssh is asked";
}

// What it ends with has changed with its versions.
TEST(FailureText, OfARealDockerIsItsReason) {
  Target here = vm();
  here.type = TargetType::localdocker;
  const test::TemporaryFolder folder;
  const std::string socket = "unix://" + (folder / "none.sock").string();
  const ProcessOutput output =
      Connection(here, {}).capture({"docker", "--host", socket, "run", "--rm", "--", "x"});
  if (output.code == kProgramNotFound) GTEST_SKIP() << "docker is not installed";
  const Failure failure = explain_failure(here, output);
  EXPECT_EQ(failure.key, "docker-stopped") << output.err;
  EXPECT_EQ(failure.cause.find("--help"), std::string::npos) << failure.cause;
  EXPECT_NE(failure.cause.find("none.sock"), std::string::npos) << failure.cause;
}

TEST(NewRun, ComesFromTheArguments) {
  EXPECT_EQ(new_run({"train"}).model, "quick");
  EXPECT_EQ(new_run({"train"}).seed, 1U);
  EXPECT_EQ(new_run({"train", "--model", "lenet", "--seed=7"}).model, "lenet");
  EXPECT_EQ(new_run({"train", "--model=nets/own.yaml", "--seed", "7"}).model, "own");
  EXPECT_EQ(new_run({"train", "--seed", "7"}).seed, 7U);
  EXPECT_TRUE(has_option({"train", "--out=x"}, "--out"));
  EXPECT_FALSE(has_option({"train", "--output=x"}, "--out"));
}

TEST(RunRecord, KeepsWhereItRanIfItWasSubmitted) {
  const test::TemporaryFolder folder;
  RunRecord record;
  write_run_record(folder / "run.json", record);
  EXPECT_EQ(test::read_text(folder / "run.json").find("\"target\""), std::string::npos);
  EXPECT_TRUE(read_run_record(folder / "run.json").target.is_null());
  record.target = {{"name", "vm"}, {"container", "-x"}};
  write_run_record(folder / "run.json", record);
  record = read_run_record(folder / "run.json");
  EXPECT_THROW((void)container_of(folder.path(), record), FileError);
  record.target["container"] = "20260101-093000-quick-1";
  EXPECT_EQ(container_of(folder.path(), record), "20260101-093000-quick-1");
}

}  // namespace
}  // namespace trainer
