// The registry: versions that never change, stages that do, and what a kill or another process may leave.
#include "trainer/store/registry.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <regex>
#include <sys/stat.h>
#include <thread>

#include "tests/support/file_errors.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {
namespace {

using test::read_text;
using test::TemporaryFolder;
namespace fs = std::filesystem;

struct Registry : testing::Test {
  TemporaryFolder folder;
  RunEnvironment environment{folder.path(), std::nullopt};

  fs::path run(const std::string& name, const std::string& weights) const {
    folder.write("runs/" + name + "/run.json", "{}");
    return folder.write("runs/" + name + "/model.safetensors", weights).parent_path();
  }
  Promotion register_run(const std::string& id, const std::string& weights,
                         const std::string& stage = "") const {
    return promote(run(id, weights),
                   {.name = "digits", .stage = stage, .run = id, .model = "quick", .accuracy = 0.99},
                   environment);
  }
  std::string found(const std::string& words) const {
    const auto version = find_version(words, environment);
    return version ? version->text() : "none";
  }
};

void expect_refusal(const std::function<void()>& action, const std::string& part) {
  expect_contains(message_of(action), part);
}

TEST_F(Registry, KeepsACopyWithItsHashThatOutlivesTheRun) {
  const auto [version, is_new, note] = register_run("a", "weights");
  EXPECT_TRUE(is_new);
  EXPECT_EQ(version.text(), "digits@1");
  EXPECT_EQ(version.sha256, sha256_hex(std::as_bytes(std::span<const char>("weights", 7))));
  fs::remove_all(folder / "runs/a");
  EXPECT_EQ(read_text(folder / "runs/registry/digits/1/model.safetensors"), "weights");
  const RegisteredVersion read = registered_versions(environment).at(0);
  EXPECT_EQ(read.run, "a");
  EXPECT_EQ(read.model, "quick");
  EXPECT_EQ(read.accuracy, 0.99);
  EXPECT_EQ(read.stage, "");
  EXPECT_EQ(read.promoted, version.promoted);
  struct stat status {};
  ASSERT_EQ(::stat((read.folder / "model.safetensors").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0222, 0U) << "read-only";
}

TEST_F(Registry, NamesMeanTheNewestVersionOrThatOfAStage) {
  register_run("a", "1", "production");
  register_run("b", "2", "staging");
  register_run("c", "3");
  folder.write("runs/registry/digits/4x/version.json", "{}");  // no number
  EXPECT_EQ(found("digits"), "digits@3");
  EXPECT_EQ(found("digits@2"), "digits@2");
  EXPECT_EQ(found("digits@production"), "digits@1");
  EXPECT_EQ(found("digits@staging"), "digits@2");
  for (const char* none : {"other", "other@1", "last", "../digits", "", "@1"})
    EXPECT_EQ(found(none), "none") << none;
  for (const char* wrong : {"digits@4", "digits@0", "digits@", "digits@retired", "digits@1x"})
    expect_refusal([&] { found(wrong); }, "digits has digits@3, digits@2 (staging), digits@1 (production)");
}

TEST_F(Registry, TheSameWeightsAreOneVersionWhoseStageChanges) {
  register_run("a", "1", "production");
  const auto [version, is_new, note] = register_run("b", "1", "staging");
  EXPECT_FALSE(is_new);
  EXPECT_EQ(version.text(), "digits@1");
  EXPECT_EQ(version.stage, "staging");
  expect_refusal([&] { found("digits@production"); }, "digits has digits@1 (staging)");
  register_run("b", "1");
  EXPECT_EQ(found("digits@staging"), "digits@1") << "no stage: as it is";
  register_run("c", "2", "staging");
  EXPECT_EQ(found("digits@staging"), "digits@2");
  EXPECT_EQ(registered_versions(environment).at(1).stage, "");
}

TEST_F(Registry, ARetiredVersionOpensOnlyByItsNumber) {
  register_run("a", "1");
  register_run("b", "2", "production");
  EXPECT_EQ(retire("digits@production", environment).stage, "production") << "what it was";
  EXPECT_EQ(found("digits"), "digits@1");
  EXPECT_EQ(found("digits@2"), "digits@2");
  EXPECT_THROW(retire("digits", environment), UsageError) << "which one?";
  retire("digits@1", environment);
  expect_refusal([&] { found("digits"); }, "every version of 'digits' is retired");
  EXPECT_EQ(register_run("b", "2").version.stage, "");
  EXPECT_EQ(found("digits"), "digits@2") << "it is in use again";
}

TEST_F(Registry, RefusesNamesThatMeanSomethingElse) {
  for (const char* name : {"", "9", "2026", "last", "a b", "a/b", "a@1", "..", "-a", "model.safetensors"}) {
    const fs::path one = run("a", "1");
    EXPECT_THROW(promote(one, {.name = name}, environment), UsageError) << name;
  }
  EXPECT_FALSE(fs::exists(folder / "runs/registry"));
}

TEST_F(Registry, RefusesARunThatIsBeingWrittenOrHasNoNetwork) {
  const fs::path one = run("a", "1");
  {
    const RunFolder lock = RunFolder::reopen(one);
    expect_refusal([&] { promote(one, {.name = "digits", .run = "a"}, environment); }, "a is being written");
  }
  fs::remove(one / "model.safetensors");
  expect_refusal([&] { promote(one, {.name = "digits", .run = "a"}, environment); }, "no model.safetensors");
}

TEST_F(Registry, AChangedModelIsNotOpened) {
  register_run("a", "1");
  const fs::path model = folder / "runs/registry/digits/1/model.safetensors";
  EXPECT_EQ(resolve_run("digits@1", environment), model.parent_path());
  fs::permissions(model, fs::perms::owner_write, fs::perm_options::add);
  folder.write("runs/registry/digits/1/model.safetensors", "2");
  expect_refusal([&] { (void)resolve_run("digits@1", environment); },
                 "not the file that was promoted as digits@1");
  expect_refusal([&] { register_run("b", "1"); }, "not the file that was promoted as digits@1");
}

TEST_F(Registry, ManyAtOnceMakeAVersionEach) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back(
        [&, i] { register_run("run" + std::to_string(i), std::to_string(i), "production"); });
  for (std::thread& thread : threads) thread.join();
  const std::vector<RegisteredVersion> all = registered_versions(environment);
  ASSERT_EQ(all.size(), 8U);
  std::size_t in_production = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(all[i].version, 8 - static_cast<int>(i));
    in_production += all[i].stage == "production" ? 1 : 0;
  }
  EXPECT_EQ(in_production, 1U);
}

TEST_F(Registry, WhatAKillLeftIsNoVersionAndGoes) {
  folder.write("runs/registry/digits/.new/run.json", "{");
  EXPECT_TRUE(registered_versions(environment).empty());
  EXPECT_EQ(found("digits"), "none");
  EXPECT_EQ(register_run("a", "1").version.text(), "digits@1");
  EXPECT_FALSE(fs::exists(folder / "runs/registry/digits/.new"));
}

TEST_F(Registry, ABrokenVersionIsNamedAndKeepsNoOtherFromUse) {
  register_run("a", "1");
  register_run("b", "2", "production");
  const fs::path record = folder / "runs/registry/digits/2/version.json";
  fs::permissions(record, fs::perms::owner_write, fs::perm_options::add);
  folder.write("runs/registry/digits/2/version.json", R"({"version": "x"})");
  EXPECT_EQ(found("digits@1"), "digits@1");
  for (const char* words : {"digits", "digits@2", "digits@production"})
    expect_refusal([&] { found(words); }, "version.json: it has no field 'run'; restore it");
  const std::vector<RegisteredVersion> all = registered_versions(environment);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].text(), "digits@2");
  expect_contains(all[0].problem, "version.json");
  EXPECT_EQ(register_run("c", "3").version.text(), "digits@3");
  fs::create_directory(folder / "runs/registry/digits/9");
  EXPECT_EQ(register_run("d", "4").version.text(), "digits@10") << "a number is used once";
}

TEST_F(Registry, AnAccuracyThatIsNoNumberIsNotKnown) {
  register_run("a", "1");
  const fs::path record = folder / "runs/registry/digits/1/version.json";
  const std::string text = read_text(record);
  fs::permissions(record, fs::perms::owner_write, fs::perm_options::add);
  folder.write("runs/registry/digits/1/version.json",
               std::regex_replace(text, std::regex("0\\.99"), "\"x\""));
  const RegisteredVersion read = registered_versions(environment).at(0);
  EXPECT_EQ(read.accuracy, std::nullopt);
  EXPECT_EQ(read.problem, "");
  EXPECT_EQ(found("digits"), "digits@1");
}

TEST_F(Registry, BrokenStagesAreNamed) {
  register_run("a", "1", "production");
  for (const char* text : {"[1", R"({"1": 7})", R"({"1": "bogus"})"}) {
    folder.write("runs/registry/digits/stages.json", text);
    expect_refusal([&] { found("digits@1"); }, "stages.json");
    expect_contains(registered_versions(environment).at(0).problem, "stages.json");
  }
  folder.write("runs/registry/digits/stages.json", R"({"5": "production"})");
  EXPECT_EQ(register_run("b", "2").version.text(), "digits@6") << "version 5 was removed by hand";
}

TEST_F(Registry, APromotionSaysWhatAnotherLost) {
  register_run("a", "1", "production");
  EXPECT_EQ(register_run("b", "2", "production").note, "digits@1 has no stage now");
  EXPECT_EQ(register_run("b", "2", "staging").note, "no version is in production now");
  EXPECT_EQ(register_run("b", "2", "staging").note, "");
}

TEST_F(Registry, ANameWithAStageOrNumberIsNeverARun) {
  register_run("a", "1", "production");
  run("digits@production", "other");
  folder.write("digits@1/run.json", "{}");
  for (const char* words : {"digits@production", "digits@1"})
    EXPECT_EQ(resolve_run(words, environment), folder / "runs/registry/digits/1") << words;
  const fs::path one = run("mine", "1");
  EXPECT_THROW(promote(one, {.name = "mine"}, environment), UsageError) << "a run's name";
}

}  // namespace
}  // namespace trainer
