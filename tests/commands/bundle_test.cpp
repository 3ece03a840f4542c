// What a run printed stays in its folder, and one file takes it, the record and the doctor's report to a bug report.
#include <algorithm>
#include <array>
#include <map>
#include <unistd.h>

#include "tests/runs/known_runs.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class OutputLog : public ProgramTest {
 protected:
  std::string log(const std::string& run) const { return read_text(folder_ / run / "output.log"); }
};

TEST_F(OutputLog, HasWhatTheRunPrinted) {
  const Outcome outcome = trainer(small_training({"--out", "r"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(log("r"), outcome.out);
  EXPECT_PRED2(contains, log("r"), "epoch 2/2  train loss ");
}

TEST_F(OutputLog, HasForPeopleWhatIsSilencedOrPrintedForPrograms) {
  for (const char* option : {"--quiet", "--json"}) {
    const std::string run = std::string("r") + option;
    EXPECT_EQ(trainer(small_training({"--out", run, option})).code, 0);
    EXPECT_PRED2(contains, log(run), "epoch 2/2  train loss ") << option;
    EXPECT_EQ(log(run).find_first_of("{\r\x1b"), std::string::npos) << log(run);
  }
}

TEST_F(OutputLog, GoesOnWithAResumedRunAndHasItsError) {
  EXPECT_EQ(trainer(small_training({"--out", "r", "--max-seconds", "1e-9"})).code, 0);
  const std::string first = log("r");
  EXPECT_EQ(trainer({"train", "--resume", "r"}).code, 0);
  EXPECT_TRUE(log("r").starts_with(first));
  EXPECT_PRED2(contains, log("r").substr(first.size()), "resumed       after step ");
  EXPECT_EQ(trainer(small_training({"--out", "bad", "--lr", "1e30"})).code, 1);
  EXPECT_PRED2(contains, log("bad"), "\nerror: step ");
}

TEST_F(OutputLog, ARunThatIsNotKeptHasNone) {
  EXPECT_EQ(trainer(small_training({"--no-save"})).code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "output.log"));
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

class Bundle : public ProgramTest {
 protected:
  Bundle() {
    EXPECT_EQ(trainer(small_training({"--out", "runs/mine"})).code, 0);
    for (const char* name : {"run.json", "metrics.jsonl", "output.log", "model.safetensors"})
      original_[name] = read_text(folder_ / "runs/mine" / name);
  }

  // The names in the archive, each a line, sorted; and the text of one, or of all.
  std::string names(const std::string& file) const { return shell("tar tzf " + file + " | sort").out; }
  std::string text(const std::string& file, const std::string& member = "") const {
    return shell("tar xzOf " + file + " " + member).out;
  }

  std::map<std::string, std::string> original_;
};

constexpr const char* kNames =
    "bundle/\nbundle/doctor.json\nbundle/doctor.txt\nbundle/runs/\nbundle/runs/mine/\n"
    "bundle/runs/mine/metrics.jsonl\nbundle/runs/mine/output.log\nbundle/runs/mine/run.json\n";

TEST_F(Bundle, HasTheReportAndTheRunAsItIs) {
  const Outcome outcome = trainer({"runs", "bundle", "mine", "-o", "b.tar.gz"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, at("b.tar.gz") + "\n");
  EXPECT_EQ(names("b.tar.gz"), kNames);
  for (const char* name : {"run.json", "metrics.jsonl", "output.log"})
    EXPECT_EQ(text("b.tar.gz", std::string("bundle/runs/mine/") + name), original_[name]);
  const Json report = Json::parse(text("b.tar.gz", "bundle/doctor.json"));
  EXPECT_EQ(report["kind"], "doctor");
  EXPECT_EQ(report["versions"]["trainer"], Json::parse(original_["run.json"])["versions"]["trainer"]);
  EXPECT_PRED2(contains, shell("tar tvzf b.tar.gz").out, " 0/0 ") << "whose files they are does not matter";

  EXPECT_EQ(trainer({"runs", "bundle", "mine", "-o", "b.tar.gz", "--weights"}).code, 0);
  EXPECT_EQ(text("b.tar.gz", "bundle/runs/mine/model.safetensors"), original_["model.safetensors"]);
  EXPECT_PRED2(contains, names("b.tar.gz"), "checkpoint.safetensors");
}

TEST_F(Bundle, IsWrittenByTheDoctorToo) {
  const Outcome outcome = trainer({"doctor", "--quick", "--bundle", "b.tar.gz"});
  EXPECT_EQ(outcome.code, trainer({"doctor", "--quick"}).code) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "\nbundle        " + at("b.tar.gz") + "\n");
  EXPECT_EQ(names("b.tar.gz"), kNames) << "with the last run";
  EXPECT_PRED2(contains, outcome.out, text("b.tar.gz", "bundle/doctor.txt"));
  (void)trainer({"doctor", "--quick", "--bundle", "b.tar.gz", "--json"}, {"TRAINER_RUNS=none"});
  EXPECT_EQ(names("b.tar.gz"), "bundle/\nbundle/doctor.json\nbundle/doctor.txt\n") << "there is no run";
  expect_one_line(trainer({"doctor", "--quick", "--bundle", "b.tar.gz", "--run", "nosuch"}), 1);
  expect_one_line(trainer({"doctor", "--anonymous"}), 2);
}

TEST_F(Bundle, TakesADamagedRecord) {
  folder_.write("runs/mine/run.json", "{\"format_ver");
  EXPECT_EQ(trainer({"runs", "bundle", "mine", "-o", "b.tar.gz"}).code, 0);
  EXPECT_EQ(text("b.tar.gz", "bundle/runs/mine/run.json"), "{\"format_ver");
}

TEST_F(Bundle, LosesNothing) {
  folder_.write("notes", "mine");
  folder_.write("empty", "");
  fs::create_directories(folder_ / "folder");
  for (const char* out : {"notes", "folder", "none/b.tar.gz", "/dev/full", "runs/mine/model.safetensors"}) {
    const Outcome outcome = trainer({"runs", "bundle", "mine", "-o", out});
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, std::string("cannot write ")) << outcome.err;
  }
  EXPECT_EQ(read_text(folder_ / "notes"), "mine");
  EXPECT_EQ(read_text(folder_ / "runs/mine/model.safetensors"), original_["model.safetensors"]);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_EQ(trainer({"runs", "bundle", "mine", "-o", "empty"}).code, 0) << "as mktemp makes one";
  expect_one_line(trainer({"runs", "bundle", "nosuch", "-o", "b.tar.gz"}), 1);
  expect_one_line(trainer({"runs", "bundle", "mine"}), 2);
  expect_one_line(trainer({"runs", "bundle", "mine", "-o", "b", "--weights", "--anonymous"}), 2);
}

TEST_F(Bundle, RefusesAnEmptyNameAndAFolderAtOnce) {
  fs::create_directories(folder_ / "folder");
  fs::create_symlink("folder", folder_ / "link");
  const std::pair<Words, std::string> commands[] = {{{"doctor", "--quick", "--bundle"}, "--bundle"},
                                                    {{"runs", "bundle", "mine", "-o"}, "--out"}};
  for (const auto& [command, option] : commands) {
    const auto with = [&](const std::string& out) {
      Words words = command;
      words.push_back(out);
      return trainer(words);
    };
    const Outcome unnamed = with("");
    expect_one_line(unnamed, 2);
    EXPECT_PRED2(contains, unnamed.err, option + ": the file has no name");
    for (const char* out : {"folder", "link"}) {
      const Outcome outcome = with(out);
      expect_one_line(outcome, 1);
      EXPECT_PRED2(contains, outcome.err, "cannot write " + at(out) + ": it is a folder: name a file in it");
    }
    const Outcome nowhere = with("none/b.tar.gz");
    expect_one_line(nowhere, 1);
    EXPECT_EQ(nowhere.err.find("with --out"), std::string::npos) << nowhere.err;
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
}

TEST_F(Bundle, NamesATemporaryFolderThatIsNotThere) {
  const Outcome outcome = trainer({"runs", "bundle", "mine", "-o", "b.tar.gz"}, {"TMPDIR=/nonexist"});
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "TMPDIR, /nonexist: No such file or directory");
}

TEST_F(Bundle, NamesNobodyIfItIsToBeAnonymous) {
  KnownRun run = known_run("of-jane", {1});
  run.record.command = {"trainer", "train", "--data", "/home/jane/digits/Jane", "alpha.json"};
  run.record.reason =
      "ssh: jane@gpu-box.example.com:22 and 10.1.2.3, [fe80::1c2d:3e4f], 2001:db8::7: no route from "
      "10.1.2.3.";
  run.record.data.path = "/Users/jim.b/digits";
  run.record.machine = {{"host", "alpha"}, {"fqdn", "alpha.lab.example"}, {"mac", "0a:1b:2c:3d:4e:5f"}};
  run.record.target = {{"name", "t"}, {"address", "beta"}, {"username", "pat"}, {"image", "ssh://gamma/x"}};
  run.record.device = {{"gpu", "GPU-01234567-89ab-cdef-0123-456789abcdef"},
                       {"mig", "MIG-GPU-01234567-89ab-cdef-0123-456789abcdef/1/0"}};
  run.record.versions = {{"cublas", "12.4.5.8"}, {"cudnn", "9.10.2"}};
  write_run(folder_, run);
  folder_.write("runs/of-jane/output.log",
                "09:30:00 on alphabet, beta; jane's pattern, std::vector, 60,000 images, 0.5.1.2.3.4\nSerial "
                "Number     : 1654321098765\n");
  EXPECT_EQ(trainer({"runs", "bundle", "of-jane", "-o", "b.tar.gz", "--anonymous"}, {"USER=jane"}).code, 0);
  std::string all = text("b.tar.gz") + names("b.tar.gz");
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(all.find(std::string("\"") + host.data() + "\""), std::string::npos);
  for (const char* name : {"jane", "Jane", "jim", "gpu-box", "example.com", "10.1.2.3", "fe80",
                           "2001:", ".lab", "\"alpha\"", "0a:1b", "pat\"", "gamma", "01234567", "165432"})
    EXPECT_EQ(all.find(name), std::string::npos) << name << "\n" << all;
  const std::size_t begin = all.find("bundle/runs/of-") + 15;
  const std::string jane = all.substr(begin, all.find('/', begin) - begin);
  const std::string of_jane = "bundle/runs/of-" + jane;
  const Json record = Json::parse(text("b.tar.gz", of_jane + "/run.json"));
  EXPECT_EQ(record["command"][3], "/home/" + jane + "/digits/" + jane) << "the same name, the same stand-in";
  EXPECT_PRED2(contains, record["reason"].get<std::string>(), "ssh: " + jane + "@host-");
  EXPECT_PRED2(contains, record["reason"].get<std::string>(),
               ":22 and ipv4-1, [ipv6-1], ipv6-2: no route from ipv4-1.");
  EXPECT_EQ(record["device"]["mig"].get<std::string>(),
            "MIG-" + record["device"]["gpu"].get<std::string>() + "/1/0");
  EXPECT_EQ(record["machine"]["mac"], "mac-1");
  EXPECT_EQ(record["machine"]["fqdn"], record["machine"]["host"]);
  EXPECT_EQ(record["versions"], run.record.versions) << "no address";
  EXPECT_EQ(record["data"]["fingerprint"], run.record.data.fingerprint);
  const std::string log = text("b.tar.gz", of_jane + "/output.log");
  EXPECT_TRUE(log.starts_with("09:30:00 on alphabet, host-")) << log;
  EXPECT_PRED2(contains, log,
               "; " + jane + "'s pattern, std::vector, 60,000 images, 0.5.1.2.3.4\nSerial Number     : id-");
}

class AnonymousLog : public Bundle {
 protected:
  // The output of a run, as an anonymous bundle has it.
  std::string bundled(const std::string& log, const Words& environment) const {
    folder_.write("runs/mine/output.log", log);
    const Outcome outcome = trainer({"runs", "bundle", "mine", "-o", "b.tar.gz", "--anonymous"}, environment);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return text("b.tar.gz", "bundle/runs/mine/output.log");
  }
};

TEST_F(AnonymousLog, HasNoNameThatTheEnvironmentKnows) {
  const std::string log =
      bundled("/scratch/jozsef/digits of-jozsef jozsef_2 JOZSEF's /scratch/jozsefina bela (cecil)\n",
              {"HOME=/scratch/jozsef", "USER=bela", "LOGNAME=cecil"});
  EXPECT_TRUE(log.starts_with("/home/user-")) << log;
  EXPECT_PRED2(contains, log, "/scratch/jozsefina user-") << "another name";
  for (const char* name : {"jozsef/", "of-jozsef", "jozsef_", "JOZSEF", "bela", "cecil"})
    EXPECT_FALSE(contains(log, name)) << name << "\n" << log;
}

TEST_F(AnonymousLog, HasNoNameThatStandsAsOne) {
  const std::string log = bundled(
      "C:\\Users\\geza ~imre /nfs/home2/jozef/x user=dani http://secret.corp.example.com:5000 "
      "registry.lab.example.com/image host=box7 hostname box8; serial=1654321 0011.2233.4455 "
      "0123456789abcdef0123456789abcdef tcp://box9:2376 box9\n",
      {});
  for (const char* name : {"geza", "imre", "jozef", "dani", "secret", "corp", "registry", "lab", "box",
                           "1654321", "2233", "89abcdef"})
    EXPECT_FALSE(contains(log, name)) << name << "\n" << log;
  EXPECT_PRED2(contains, log, ":5000 host-");
  EXPECT_PRED2(contains, log, "/image host=host-");
}

TEST_F(AnonymousLog, KeepsWordsThatUsersAreCalledLike) {
  const std::string kept =
      "Ubuntu 22.04, --limit-train 5, ~5 minutes, data from https://docs.nvidia.com/cuda, hostname lookup "
      "failed, "
      "git@github.com, cudnn 9.10.2.21, main.cc:12, 09:30:00\n";
  const std::string log =
      bundled(kept + "/home/ubuntu/x /home/train/x\n", {"HOME=/home/ubuntu", "USER=train", "LOGNAME=data"});
  EXPECT_TRUE(log.starts_with(kept)) << log;
  EXPECT_PRED2(contains, log, "\n/home/user-");
  EXPECT_FALSE(contains(log, "/train/")) << log;
}

TEST_F(AnonymousLog, MayHaveThousandsOfNames) {
  std::string log;
  for (int i = 0; i < 6000; ++i) log += "name" + std::to_string(i) + "@box" + std::to_string(i) + " failed\n";
  log = bundled(log, {});
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 6000);
  EXPECT_FALSE(contains(log, "name"));
  EXPECT_FALSE(contains(log, "box"));
}

TEST_F(Bundle, HasTheEndOfALogThatIsLong) {
  const std::uintmax_t size = std::uintmax_t{5} << 30;  // a sparse file
  fs::resize_file(folder_ / "runs/mine/output.log", size);
  ASSERT_EQ(shell("printf '\\nthe end\\n' >> runs/mine/output.log").code, 0);
  EXPECT_EQ(trainer({"runs", "bundle", "mine", "-o", "b.tar.gz"}).code, 0);
  EXPECT_EQ(names("b.tar.gz"), kNames);
  EXPECT_EQ(text("b.tar.gz", "bundle/runs/mine/output.log"),
            "[the last 16 MiB of " + std::to_string(size + 9) + " bytes]\nthe end\n");
}

}  // namespace
}  // namespace trainer::test
