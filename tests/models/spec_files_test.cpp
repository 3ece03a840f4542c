// Finding networks by name and path, and how errors speak of words that are not known.
#include <gtest/gtest.h>

#include "models/spec.hpp"
#include "models/words.hpp"
#include "tests/models/spec_text.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::test {

TEST(SpecFiles, EveryShippedNetworkIsFoundByItsNameAndPath) {
  const std::vector<Spec> all = all_specs(TRAINER_SOURCE_DIR "/models");
  ASSERT_EQ(all.size(), std::size(kShipped));
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].name, kShipped[i]);
    EXPECT_FALSE(all[i].about.empty());
    EXPECT_FALSE(all[i].source.empty());
  }
  EXPECT_EQ(find_spec(TRAINER_SOURCE_DIR "/models/lenet.yaml", "/nowhere").name, "lenet");
}

TEST(SpecFiles, TheExampleOfTheFormIsANetwork) {
  const std::string page = read_text(TRAINER_SOURCE_DIR "/models/README.md");
  const std::string fence = "```yaml\n";
  const std::size_t begin = page.find(fence) + fence.size();
  const Spec spec = parse_spec(page.substr(begin, page.find("```", begin) - begin), "README.md");
  EXPECT_EQ(spec.name, "small");
  EXPECT_EQ(spec.layers.size(), 4U);
}

TEST(SpecFiles, AnUnknownNameIsAnsweredWithTheNamesAndTheNearest) {
  try {
    shipped("lenett");
    FAIL();
  } catch (const SpecError& error) {
    EXPECT_STREQ(
        error.what(),
        "unknown network 'lenett'; did you mean lenet? one of accurate, accurate-small, cntk-convnet, "
        "cntk-sample, "
        "lenet, "
        "pytorch-example, quick, sprint, sprint-995, sprint-lean, sprint-lean-views, tf-convolutional, "
        "tf-sample, or "
        "the path of a .yaml file");
  }
}

TEST(SpecFiles, WhatCannotBeReadIsNamed) {
  const TemporaryFolder folder;
  const auto error_at = [](const std::filesystem::path& path) -> std::string {
    try {
      read_spec(path);
    } catch (const SpecError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_at(folder / "none.yaml"), (folder / "none.yaml").string() + ": no such file");
  EXPECT_EQ(error_at(folder.path()), folder.path().string() + ": not a file");
  EXPECT_EQ(error_at("/dev/zero"), "/dev/zero: not a file");
  const auto large = folder.write("large.yaml", std::string(70000, '#'));
  EXPECT_EQ(error_at(large), large.string() + ": 70000 bytes; a network's file has at most 65536");
  EXPECT_THROW(all_specs(folder / "none"), SpecError);
  const auto own = folder.write("own.yaml", spec_text(kPlainLayers));
  EXPECT_EQ(find_spec(own.string(), "/nowhere").name, "test");
}

TEST(Words, TheNearestWordIsAFewSlipsAway) {
  const Words words{"conv", "maxpool", "dense"};
  EXPECT_EQ(nearest_word("covn", words), "conv");
  EXPECT_EQ(nearest_word("con", words), "conv");
  EXPECT_EQ(nearest_word("Conv", words), "conv");
  EXPECT_EQ(nearest_word("MAXPOOL", words), "maxpool");
  EXPECT_EQ(nearest_word("max_pool", words), "maxpool");
  EXPECT_EQ(nearest_word("lstm", words), "");
  EXPECT_EQ(nearest_word("", words), "");
  EXPECT_EQ(nearest_word(std::string(100000, 'c'), words), "");
}

TEST(Words, AQuotedWordIsSafeToPrint) {
  EXPECT_EQ(in_quotes("a\nb\x1b[0m"), "'a?b?[0m'");
  EXPECT_EQ(in_quotes(std::string(50, 'a')), "'" + std::string(40, 'a') + "...'");
  EXPECT_EQ(in_quotes(std::string(39, 'a') + "\xE2\x82\xAC"), "'" + std::string(39, 'a') + "...'");
}

}  // namespace trainer::test
