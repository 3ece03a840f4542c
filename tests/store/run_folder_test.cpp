// Run folders: names, collisions, refusals that hold for root too, and finding a run again.
#include "trainer/store/run_folder.hpp"

#include <chrono>
#include <cstdlib>
#include <functional>
#include <gtest/gtest.h>

#include "tests/support/file_errors.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {
namespace {

using test::TemporaryFolder;
namespace fs = std::filesystem;

struct RunFolderTest : testing::Test {
  TemporaryFolder folder;
  RunEnvironment environment{folder.path(), std::nullopt};
  NewRun run{"quick", 7, 1'700'000'000, std::nullopt};

  // A run called `name`, written `seconds` after some fixed moment.
  void add_run(const std::string& name, int seconds) const {
    const fs::path record = folder.write("runs/" + name + "/run.json", "{}");
    fs::last_write_time(record, fs::file_time_type::clock::now() + std::chrono::seconds(seconds - 1000));
  }
};

TEST_F(RunFolderTest, IsNamedByLocalTimeModelAndSeed) {
  const RunFolder created = RunFolder::create(run, environment);
  EXPECT_EQ(created.path().parent_path(), folder / "runs");
  const std::string name = created.path().filename().string();
  EXPECT_TRUE(name.starts_with("2023111")) << name;  // the 14th or 15th, by the zone
  EXPECT_TRUE(name.ends_with("20-quick-7")) << name;
  EXPECT_EQ(name.size(), std::string("YYYYmmdd-HHMMSS-quick-7").size());
  EXPECT_TRUE(fs::is_empty(created.path()));
  EXPECT_EQ(created.file(kModelName), created.path() / "model.safetensors");
}

TEST_F(RunFolderTest, GetsANumberWhereTheNameIsTaken) {
  const RunFolder first = RunFolder::create(run, environment);
  const RunFolder second = RunFolder::create(run, environment);
  const RunFolder third = RunFolder::create(run, environment);
  EXPECT_EQ(second.path().string(), first.path().string() + "-2");
  EXPECT_EQ(third.path().string(), first.path().string() + "-3");
}

TEST_F(RunFolderTest, WhatAKillLeftIsNoRun) {
  run.out = "mine";
  for (const char* name : {".probe", ".run.json.partial", ".checkpoint.safetensors.partial"})
    folder.write(std::string("mine/") + name, "cut off");
  EXPECT_TRUE(fs::is_empty(RunFolder::create(run, environment).path()));
  folder.write("mine/.run.json.partial", "cut off");
  folder.write("mine/.report.html.partial", "its writer holds no lock");
  folder.write("mine/.hidden", "another's");
  EXPECT_THROW((void)RunFolder::create(run, environment), FileError);
  const RunFolder reopened = RunFolder::reopen(folder / "mine");
  EXPECT_FALSE(fs::exists(reopened.file(".run.json.partial")));
  EXPECT_TRUE(fs::exists(reopened.file(".report.html.partial")));
  EXPECT_TRUE(fs::exists(reopened.file(".hidden")));
}

TEST_F(RunFolderTest, HasOnlyHarmlessCharactersInItsName) {
  run.model = "../my model/\xc3\xa4.yaml";
  const std::string name = RunFolder::create(run, environment).path().filename().string();
  expect_contains(name, "-..-my-model---.yaml-7");
}

TEST_F(RunFolderTest, LiesInTrainerRunsWhereThatIsSet) {
  environment.trainer_runs = "elsewhere/deep";
  EXPECT_EQ(RunFolder::create(run, environment).path().parent_path(), folder / "elsewhere/deep");
  environment.trainer_runs = (folder / "absolute").string();
  EXPECT_EQ(RunFolder::create(run, environment).path().parent_path(), folder / "absolute");
  environment.trainer_runs = std::nullopt;
  EXPECT_EQ(RunFolder::create(run, environment).path().parent_path(), folder / "runs");
}

TEST_F(RunFolderTest, IsExactlyWhatOutSays) {
  run.out = "a/b";
  EXPECT_EQ(RunFolder::create(run, environment).path(), folder / "a/b");
  EXPECT_EQ(RunFolder::create(run, environment).path(), folder / "a/b") << "an empty folder may be used";
}

TEST_F(RunFolderTest, RefusesAnOutThatHoldsSomething) {
  folder.write("full/file", "x");
  run.out = "full";
  const std::string message = message_of([&] { (void)RunFolder::create(run, environment); });
  expect_contains(message,
                  (folder / "full").string() + ": the folder is not empty: choose a new one with --out");
  expect_contains(message, "--resume");
}

TEST_F(RunFolderTest, RefusesAPlaceThatIsAFile) {
  folder.write("runs", "a file");
  const std::string message = message_of([&] { (void)RunFolder::create(run, environment); });
  expect_contains(message, "cannot write results in " + (folder / "runs").string());
  for (const char* choice : {"--out", "TRAINER_RUNS", "--no-save"}) expect_contains(message, choice);
  run.out = "runs";
  expect_contains(message_of([&] { (void)RunFolder::create(run, environment); }), "it is not a folder");
  run.out = "runs/below";
  expect_contains(message_of([&] { (void)RunFolder::create(run, environment); }), "Not a directory");
}

TEST_F(RunFolderTest, RefusesAFolderInWhichNothingCanBeWritten) {
  expect_contains(message_of([&] { (void)RunFolder::reopen("/proc/self"); }),
                  "cannot write results in /proc/self");
  environment.trainer_runs = "/proc/self";
  expect_contains(message_of([&] { (void)RunFolder::create(run, environment); }),
                  "cannot write results in /proc/self");
}

TEST_F(RunFolderTest, IsLockedWhileItIsWritten) {
  fs::path path;
  {
    const RunFolder first = RunFolder::create(run, environment);
    path = first.path();
    expect_contains(message_of([&] { (void)RunFolder::reopen(path); }),
                    "another process is writing this run");
  }
  EXPECT_EQ(RunFolder::reopen(path).path(), path);
  expect_contains(message_of([&] { (void)RunFolder::reopen(folder / "none"); }), "it is not a folder");
}

TEST_F(RunFolderTest, IsFoundByPathFileNameAndBeginning) {
  add_run("20250101-000000-quick-1", 0);
  add_run("20250102-000000-lenet-1", 50);
  const fs::path quick = folder / "runs/20250101-000000-quick-1";
  const fs::path file = folder.write("other/some.safetensors", "x");
  EXPECT_EQ(resolve_run("20250101-000000-quick-1", environment), quick);
  EXPECT_EQ(resolve_run("20250101", environment), quick);
  EXPECT_EQ(resolve_run("runs/20250101-000000-quick-1", environment), quick);
  EXPECT_EQ(resolve_run(quick.string(), environment), quick);
  EXPECT_EQ(resolve_run("other/some.safetensors", environment), file);
}

TEST_F(RunFolderTest, LastIsTheRunWrittenLast) {
  add_run("20250103-000000-quick-1", 0);
  add_run("20250101-000000-quick-1", 90);
  add_run("20250102-000000-quick-1", 50);
  folder.write("runs/99999999-not-a-run/notes", "x");
  EXPECT_EQ(resolve_run("last", environment).filename(), "20250101-000000-quick-1");
}

TEST_F(RunFolderTest, AWholeNameWinsOverLongerOnes) {
  add_run("20250101-000000-quick-1", 0);
  add_run("20250101-000000-quick-1-2", 10);
  EXPECT_EQ(resolve_run("20250101-000000-quick-1", environment).filename(), "20250101-000000-quick-1");
}

TEST_F(RunFolderTest, AnUnclearOrUnknownNameListsTheCandidates) {
  expect_contains(message_of([&] { (void)resolve_run("last", environment); }), "train first");
  for (int i = 10; i < 20; ++i) add_run("202501" + std::to_string(i) + "-000000-quick-1", i);
  const std::string unclear = message_of([&] { (void)resolve_run("2025011", environment); });
  expect_contains(unclear, "no run or file '2025011': 10 runs");
  expect_contains(unclear, "begin so: 20250119-000000-quick-1, 20250118");
  expect_contains(unclear, "and 2 more");
  expect_contains(message_of([&] { (void)resolve_run("nonsense", environment); }), "there are: 20250119");
  expect_contains(message_of([&] { (void)resolve_run("", environment); }), "it is empty");
  folder.write("plain/file", "x");
  expect_contains(message_of([&] { (void)resolve_run("plain", environment); }), "holds none of run.json");
}

TEST_F(RunFolderTest, ModelFilePrefersTheModelToTheCheckpoint) {
  const fs::path checkpoint = folder.write("run/checkpoint.safetensors", "x");
  EXPECT_EQ(model_file(folder / "run"), checkpoint);
  const fs::path model = folder.write("run/model.safetensors", "x");
  EXPECT_EQ(model_file(folder / "run"), model);
  EXPECT_EQ(model_file(checkpoint), checkpoint);
  folder.write("new/run.json", "{}");
  expect_contains(message_of([&] { (void)model_file(folder / "new"); }), "holds no network");
}

}  // namespace
}  // namespace trainer
