// What a submitted training reads of this machine: which files that is, and how they come to a container here
// and on a played remote machine, once, whole, and under any name.
#include "data/dataset.hpp"
#include "models/spec.hpp"
#include "tests/doctor/played_machine.hpp"
#include "trainer/remote/container.hpp"

namespace trainer::test {
namespace {

class FilesOfTraining : public ProgramTest {
 protected:
  std::vector<SentFiles> files(const Words& arguments) const {
    return files_of_training(arguments, folder_.path());
  }
};

TEST_F(FilesOfTraining, AreItsNetworkAndItsDataSet) {
  const Words arguments{"train",   "--data=data/", "--model", "lenet",
                        "--model", "./small.yaml", "--seed",  "2"};
  const std::vector<SentFiles> sent = files(arguments);
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].given, folder_ / "small.yaml");
  EXPECT_EQ(sent[0].names, Words{"small.yaml"});
  EXPECT_EQ(sent[1].folder, folder_ / "data");
  EXPECT_EQ(sent[1].names.size(), 4U);
  EXPECT_EQ(arguments_inside(arguments, sent), (Words{"train", "--data=/sent/data/data", "--model", "lenet",
                                                      "--model", "/sent/model/small.yaml", "--seed", "2"}));
}

TEST_F(FilesOfTraining, AreNotWhatTheTargetHasItself) {
  for (const Words& words : {Words{"train"},
                             {"train", "--model", "lenet", "--data", "/nowhere/at/all"},
                             {"train", "--model", "/nowhere/net.yaml"},
                             {"train", "--data", ""},
                             {"models", "--model", "small.yaml"}})
    EXPECT_TRUE(files(words).empty()) << words.back();
}

TEST_F(FilesOfTraining, OfADataSetWithAPrefixAreItsOwn) {
  for (const auto& entry : fs::directory_iterator(folder_ / "data"))
    for (const char* set : {"set/a-", "set/b-"})
      folder_.write(set + entry.path().filename().string(), read_text(entry.path()));
  const std::vector<SentFiles> sent = files({"train", "--data", "set/a"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].word, "/sent/data/set/a");
  ASSERT_EQ(sent[0].names.size(), 4U);
  for (const std::string& name : sent[0].names) EXPECT_TRUE(name.starts_with("a-")) << name;
  EXPECT_THROW((void)files({"train", "--data", "set"}), data::DataError) << "two sets";
}

TEST_F(FilesOfTraining, BelowARootOfTorchvisionKeepTheirPlace) {
  fs::create_directories(folder_ / "root/MNIST");
  fs::rename(folder_ / "data", folder_ / "root/MNIST/raw");
  const std::vector<SentFiles> sent = files({"train", "--data", "root"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].names[0], "MNIST/raw/train-images-idx3-ubyte");
  EXPECT_EQ(sent[0].word, "/sent/data/root");
}

TEST_F(FilesOfTraining, OfPicturesIncludeThoseToValidateOn) {
  for (const char* split : {"training", "testing", "val"})
    folder_.write(fs::path("photos") / split / "a/1.png", "");
  EXPECT_EQ(files({"train", "--data", "photos"})[0].names, (Words{"training", "testing", "val"}));
}

TEST_F(FilesOfTraining, OfPicturesAreTheirTwoFolders) {
  folder_.write("photos/train/a/1.png", "");
  folder_.write("photos/test/a/1.png", "");
  folder_.write("photos/notes.txt", "mine");
  const std::vector<SentFiles> sent = files({"train", "--data", "photos"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].names, (Words{"train", "test"}));
  EXPECT_EQ(sent[0].word, "/sent/data/photos");
}

TEST_F(FilesOfTraining, AreRefusedWhereNothingCouldBeTrained) {
  folder_.write("empty/x", "");
  folder_.write("bad.yaml", "layers: 1\n");
  EXPECT_THROW((void)files({"train", "--data", "empty"}), data::DataError);
  EXPECT_THROW((void)files({"train", "--model", "bad.yaml"}), SpecError);
}

class Sending : public PlayedMachine {
 protected:
  Sending() {
    fs::create_directories(folder_ / odd_);
    fs::rename(folder_ / "small.yaml", folder_ / odd_ / "it's a \"net\".yaml");
    fs::rename(folder_ / "data", folder_ / odd_ / "da,ta");
  }

  // Paths as a user in the folder writes them.
  Outcome submit_odd(const std::string& target) const {
    return run({"submit", "-c", target, "--", "train", "--model", odd_ + "/it's a \"net\".yaml",
                "--data=" + odd_ + "/da,ta", "--threads", "1"});
  }

  void expect_like_a_run_here() const {
    ASSERT_EQ(trainer({"train", "--model", at(odd_ + "/it's a \"net\".yaml"), "--data", at(odd_ + "/da,ta"),
                       "--threads", "1", "--out", "whole"})
                  .code,
              0);
    const std::string run = "runs/" + runs().back();
    expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
    EXPECT_EQ(record(run).data.path, at(odd_ + "/da,ta")) << "where it is here";
    EXPECT_EQ(record(run).target["sent"]["model"], at(odd_ + "/it's a \"net\".yaml"));
  }

  // Names in the store of the other machine.
  Words sent() const {
    Words names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_ / "play/home/.cache/mnist-trainer/sent", error))
      names.push_back(entry.path().filename().string());
    return names;
  }

  // Calls of ssh that carried files.
  std::size_t transfers() const {
    const std::vector<Words> all = calls("ssh.log");
    return static_cast<std::size_t>(
        std::ranges::count_if(all, [](const Words& words) { return contains(words.back(), "arriving"); }));
  }

  const std::string odd_ = "my $(touch pwned) `touch pwned`; \"nets\"";
};

TEST_F(Sending, AMachineGetsFilesOnce) {
  const Outcome first = submit_odd("vm");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_PRED2(contains, first.err, "sending       " + at(odd_ + "/da,ta"));
  expect_like_a_run_here();
  EXPECT_EQ(sent().size(), 2U);
  for (const std::string& name : sent()) EXPECT_EQ(name.size(), 64U) << name;
  EXPECT_EQ(transfers(), 2U);
  const Outcome second = submit_odd("vm");
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_FALSE(contains(second.err, "sending"));
  EXPECT_EQ(transfers(), 2U);
  const fs::path net = folder_ / odd_ / "it's a \"net\".yaml";
  folder_.write(net, read_text(net) + "\n# changed\n");
  ASSERT_EQ(submit_odd("vm").code, 0);
  EXPECT_EQ(transfers(), 3U) << "the network alone";
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
    EXPECT_NE(entry.path().filename(), "pwned");
}

TEST_F(Sending, SaysHowMuchItSends) {
  write_small_data(folder_, {.train = 20000});  // 2.9 million bytes
  const Outcome outcome = submit("vm", {"--max-steps", "1"});
  EXPECT_PRED2(contains, outcome.err, "sending       " + at("data") + " (2.8 MiB) to vm\n");
}

TEST_F(Sending, AContainerHereSeesTheFilesThemselves) {
  const Outcome outcome = submit_odd("docker");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_like_a_run_here();
  EXPECT_TRUE(sent().empty());
  std::size_t mounts = 0;
  for (const Words& call : calls("docker.log"))
    for (const std::string& word : call)
      if (word.starts_with("type=bind,") && word.ends_with(",readonly")) ++mounts;
  EXPECT_EQ(mounts, 5U) << "the network and four files of data, nothing beside them";
}

TEST_F(Sending, AProcessHereNeedsNothing) {
  const Outcome outcome = submit_odd("local");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string run = "runs/" + runs().back();
  EXPECT_FALSE(record(run).target.contains("sent"));
}

TEST_F(Sending, ALinkInARunsPlaceIsNotTaken) {
  ASSERT_EQ(
      run({"submit", "-c", "vm", "--detach", "--", "train", "--threads", "1", "--data=" + odd_ + "/da,ta"})
          .code,
      0);
  const fs::path there = folder_ / "play/there/runs" / runs().at(0);
  fs::rename(there, folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", there);
  const Outcome outcome = run({"runs", "attach", "last"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "which is not a folder: nothing of it was taken");
  EXPECT_TRUE(fs::exists(folder_ / "elsewhere/run.json"));
}

TEST_F(Sending, WhatArrivesCutOffIsNotKept) {
  play("short", "");
  const Outcome outcome = submit_odd("vm");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "submit again");
  EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kFailed);
  EXPECT_TRUE(sent().empty());
  stop_playing("short");
  EXPECT_EQ(submit_odd("vm").code, 0);
  EXPECT_EQ(sent().size(), 2U);
}

}  // namespace
}  // namespace trainer::test
