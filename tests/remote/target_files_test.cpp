// The two files of a target: written byte for byte as expected, read back to the same, and refused with the
// place of what is wrong.
#include <gtest/gtest.h>

#include "models/spec.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {
namespace {

using test::read_text;
using test::TemporaryFolder;

Target sample() {
  Target target;
  target.name = "my_dsvm";
  target.address = "my-vm.southcentralus.cloudapp.azure.com";
  target.username = "my_name";
  target.image = "mnist-trainer:1.0-cuda13.0";
  target.gpus = "all";
  return target;
}

Target parse(TargetFile which, const std::string& text, const std::string& name,
             const std::string& file = "f") {
  Target target;
  target.name = name;
  read_target(text, file, which, target);
  return target;
}

Target parse_compute(const std::string& text, const std::string& name = "x") {
  return parse(TargetFile::compute, text, name);
}

Target parse_runconfig(const std::string& text, const std::string& name = "x") {
  return parse(TargetFile::runconfig, text, name);
}

std::string compute_text(const Target& target) {
  return target_text(target, TargetFile::compute);
}

std::string runconfig_text(const Target& target) {
  return target_text(target, TargetFile::runconfig);
}

// What reading one of the files refuses `text` with.
std::string fault_of_file(TargetFile which, const std::string& text, const std::string& file) {
  try {
    (void)parse(which, text, "x", file);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "accepted";
}

std::string fault_of_compute(const std::string& text) {
  return fault_of_file(TargetFile::compute, text, "t/x.compute");
}

std::string fault_of_runconfig(const std::string& text) {
  return fault_of_file(TargetFile::runconfig, text, "t/x.runconfig");
}

// What `trainer target attach` says of a value.
std::string fault_with(std::string Target::*member, const std::string& value) {
  Target target = sample();
  target.*member = value;
  return fault_of(target);
}

TEST(TargetFiles, AreWrittenByteForByte) {
  EXPECT_EQ(compute_text(sample()),
            "type: remotedocker            # local | localdocker | remotedocker\n"
            "address: my-vm.southcentralus.cloudapp.azure.com\n"
            "username: my_name\n"
            "baseDockerImage: mnist-trainer:1.0-cuda13.0\n"
            "gpus: all                     # all, none (the CPU) or indices: \"0,1\"\n");
  Target config = sample();
  config.arguments = {"train", "--model", "lenet"};
  config.variables = {{"EXAMPLE", "value"}};
  EXPECT_EQ(runconfig_text(config),
            "Target: my_dsvm\n"
            "ArgumentVector: [train, --model, lenet]\n"
            "EnvironmentVariables: {EXAMPLE: \"value\"}\n"
            "PrepareEnvironment: true      # prepare first when the image is missing\n"
            "TrackedRun: true              # bring the run's folder back\n");
}

TEST(TargetFiles, ComeBackAsTheyWereWritten) {
  Target target = sample();
  target.address = "fe80::1%eth0";
  target.port = 2222;
  target.identity_file = "/home/a b/keys/it's \"mine\" #1: x";
  target.ssh_config = "null";
  target.gpus = "0,1";
  const std::string text = compute_text(target);
  const Target read = parse_compute(text);
  EXPECT_EQ(compute_text(read), text);
  EXPECT_EQ(read.address, target.address);
  EXPECT_EQ(read.identity_file, target.identity_file);
  EXPECT_EQ(read.ssh_config, "null");
  EXPECT_EQ(read.gpus, "0,1");
  Target config = sample();
  config.arguments = {"train", "",     "a b", "--x=$(id)", "it's", "two\nlines",
                      "[c]",   "null", "- d", "~",         "é\\"};
  config.variables = {{"A", ""}, {"B_1", "two\nlines \"and\" $(more)\t"}};
  config.prepare = false;
  config.tracked = false;
  const std::string run = runconfig_text(config);
  const Target again = parse_runconfig(run, "my_dsvm");
  EXPECT_EQ(again.arguments, config.arguments);
  ASSERT_EQ(again.variables.size(), 2U);
  EXPECT_EQ(again.variables.at("B_1"), config.variables.at("B_1"));
  EXPECT_FALSE(again.prepare);
  EXPECT_FALSE(again.tracked);
  EXPECT_EQ(runconfig_text(again), run);
}

TEST(TargetFiles, LeaveToSshWhatTheyDoNotSay) {
  const Target target = parse_compute("type: remotedocker\naddress: alias\nbaseDockerImage: i\n");
  EXPECT_EQ(target.port, 0);
  EXPECT_EQ(target.username, "");
  EXPECT_EQ(compute_text(target).find("port"), std::string::npos);
  EXPECT_EQ(target_json(target)["port"], nullptr);
  EXPECT_EQ(parse_compute("type: remotedocker\naddress: a\nport: 22\nbaseDockerImage: i\n").port, 22);
}

TEST(TargetFiles, NvidiaDockerIsTheFormerWordForGpus) {
  const std::string head = "type: localdocker\nbaseDockerImage: a:1\n";
  EXPECT_EQ(parse_compute(head + "nvidiaDocker: true\n").gpus, "all");
  EXPECT_EQ(parse_compute(head + "nvidiaDocker: false\n").gpus, "none");
  EXPECT_EQ(fault_of_compute(head + "gpus: all\nnvidiaDocker: true\n"),
            "t/x.compute:4:15: compute: nvidiaDocker and gpus say the same; keep gpus");
}

TEST(TargetFiles, ErrorsNameThePlace) {
  const std::string head = "type: remotedocker\naddress: a\nusername: u\nbaseDockerImage: i\n";
  EXPECT_EQ(fault_of_compute(head), "accepted");
  EXPECT_EQ(
      fault_of_compute(head + "adress: b\n"),
      "t/x.compute:5:1: compute: unknown key 'adress'; did you mean address? one of type, address, username, "
      "port, identityFile, sshConfig, baseDockerImage, gpus, nvidiaDocker");
  EXPECT_EQ(fault_of_compute(head + "password: x\n").substr(0, 47),
            "t/x.compute:5:1: compute: unknown key 'password");
  EXPECT_EQ(fault_of_compute(head + "port: 99999\n"),
            "t/x.compute:5:7: compute: port must be a whole number from 1 to 65535, not '99999'");
  EXPECT_EQ(fault_of_compute("type: remotedocker\naddress: -oProxyCommand=x\n"),
            "t/x.compute:2:10: compute: address '-oProxyCommand=x': a host name or an IP address, without "
            "user, port "
            "and brackets, not beginning with '-'");
  EXPECT_EQ(fault_of_compute("type: remotedocker\nusername: u\n"),
            "t/x.compute:1:1: compute needs 'address'");
  EXPECT_EQ(fault_of_compute("type: dsvm\n"),
            "t/x.compute:1:7: compute: unknown type 'dsvm'; one of local, localdocker, remotedocker");
  EXPECT_EQ(fault_of_compute("type: local\nusername: u\n"),
            "t/x.compute:2:1: compute: unknown key 'username'; one of type");
  EXPECT_EQ(fault_of_compute("- type\n").substr(0, 16), "t/x.compute:1:1:");
  EXPECT_EQ(fault_of_compute("type: [\n").substr(0, 14), "t/x.compute:2:");
  EXPECT_EQ(fault_of_compute(""), "t/x.compute:1:1: the file is empty");
}

TEST(TargetFiles, ErrorsOfARunconfigNameThePlace) {
  EXPECT_EQ(fault_of_runconfig("Target: x\n"), "accepted");
  EXPECT_EQ(fault_of_runconfig("Target: y\n"),
            "t/x.runconfig:1:9: runconfig: Target is y, but the file is named after x");
  EXPECT_EQ(
      fault_of_runconfig("Target: x\nArgumentVector: train\n"),
      "t/x.runconfig:2:17: runconfig: ArgumentVector must be a list of words like [train, --model, lenet]");
  EXPECT_EQ(
      fault_of_runconfig("Target: x\nEnvironmentVariables: {A B: c}\n"),
      "t/x.runconfig:2:24: runconfig: EnvironmentVariables: 'A B': a variable's name is letters, digits and "
      "'_', the first no digit");
  EXPECT_EQ(fault_of_runconfig("Target: x\nEnvironmentVariables: {A: 1, A: 2}\n"),
            "t/x.runconfig:2:30: runconfig: EnvironmentVariables: a second 'A'");
  EXPECT_EQ(fault_of_runconfig("Target: x\nEnvironmentVariables: {A: \"b\\0c\"}\n"),
            "t/x.runconfig:2:27: runconfig: EnvironmentVariables: A must be a text without zero bytes");
  EXPECT_EQ(fault_of_runconfig("Target: x\nTrackedRun: maybe\n"),
            "t/x.runconfig:2:13: runconfig: TrackedRun must be true or false, not 'maybe'");
}

TEST(TargetFiles, NothingThatAProgramTakesForAnOptionPasses) {
  for (const char* bad :
       {"", "-oProxyCommand=x", "a b", "a\nb", "$(id)", "`id`", "a;b", "a'b", "u@h", "a/b", ".."})
    EXPECT_NE(fault_of_target_name(bad), "") << bad;
  for (const char* bad :
       {"", "-oProxyCommand=x", "a b", "a\nb", "$(id)", "a;b", "a'b", "u@h", "a/b", "%a", "a:22"})
    EXPECT_NE(fault_with(&Target::address, bad), "") << bad;
  for (const char* bad : {"-l", "a b", "a\nb", "$(id)", "a;b", "u@h", "a/b", "a\\b"})
    EXPECT_NE(fault_with(&Target::username, bad), "") << bad;
  for (const char* bad : {"", "--privileged", "a b", "a\n", "$(id)", "a:"})
    EXPECT_NE(fault_with(&Target::image, bad), "") << bad;
  EXPECT_NE(fault_of_compute("type: localdocker\nbaseDockerImage: a\ngpus: \"\"\n"), "accepted");
  for (const char* bad : {"0,", ",0", "-1", "0;1", "some", "0 1", "1234", "GPU-", "GPU-0;x", "0:", "1:2:3"})
    EXPECT_NE(fault_with(&Target::gpus, bad), "") << bad;
  for (const char* good : {"a", "10.0.0.4", "my-vm.example.com", "::1", "fe80::1%eth0"})
    EXPECT_EQ(fault_with(&Target::address, good), "") << good;
  for (const char* good : {"a", "a:1", "ghcr.io/o/mnist-trainer:1.0-cuda13.0", "a@sha256:0123"})
    EXPECT_EQ(fault_with(&Target::image, good), "") << good;
  for (const char* good :
       {"all", "none", "0", "0,1,12", "0:1",
        "GPU-5a1d4cf1-0c9b-2c1e-7b5e-0123456789ab,MIG-5a1d4cf1-0c9b-2c1e-7b5e-0123456789ab",
        "MIG-GPU-5a1d4cf1-0c9b-2c1e-7b5e-0123456789ab/1/0"})
    EXPECT_EQ(fault_with(&Target::gpus, good), "") << good;
}

TEST(TargetFolder, HasTwoTargetsFromTheStart) {
  const TemporaryFolder folder;
  const TargetFolder targets(folder.path());
  ASSERT_EQ(targets.names().size(), 2U);
  EXPECT_EQ(targets.find("local").type, TargetType::local);
  EXPECT_EQ(targets.find("docker").type, TargetType::localdocker);
  EXPECT_TRUE(targets.find("docker").built_in);
  EXPECT_THROW((void)targets.find("dokcer"), UsageError);
  EXPECT_THROW((void)targets.find("../x"), UsageError);
}

TEST(TargetFolder, AttachesOnceAndDetaches) {
  const TemporaryFolder folder;
  const TargetFolder targets(folder.path());
  targets.attach(sample());
  EXPECT_EQ(read_text(folder / "targets/my_dsvm.compute"), compute_text(sample()));
  EXPECT_EQ(targets.find("my_dsvm").arguments, std::vector<std::string>{"train"});
  EXPECT_THROW(targets.attach(sample()), UsageError);
  Target own = sample();
  own.name = "docker";
  EXPECT_THROW(targets.attach(own), UsageError) << "a remotedocker under the name of this machine's engine";
  targets.detach("my_dsvm");
  EXPECT_THROW(targets.detach("my_dsvm"), UsageError);
  EXPECT_THROW(targets.detach("local"), UsageError);
  EXPECT_EQ(targets.names(), (std::vector<std::string>{"local", "docker"}));
}

TEST(TargetFolder, AFileTakesTheBuiltInTargetsPlace) {
  const TemporaryFolder folder;
  folder.write("targets/docker.compute", "type: localdocker\nbaseDockerImage: other:2\ngpus: \"0\"\n");
  const Target target = TargetFolder(folder.path()).find("docker");
  EXPECT_FALSE(target.built_in);
  EXPECT_EQ(target.image, "other:2");
  EXPECT_EQ(target.name, "docker");
}

}  // namespace
}  // namespace trainer
