// Every seed and every case that fuzzing has found goes through its target, in every kind of build.
#include <gtest/gtest.h>
#include <set>

#include "tests/fuzz/targets.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::fuzz {

static void PrintTo(const FuzzTarget& target, std::ostream* out) {
  *out << target.name;
}

namespace {

namespace fs = std::filesystem;

const fs::path kHere = fs::path(TRAINER_SOURCE_DIR) / "tests/fuzz";

// The files of tests/fuzz/KIND/NAME, sorted; none if there is no such folder.
std::vector<fs::path> inputs(const char* kind, const std::string& name) {
  std::set<fs::path> files;
  std::error_code none;
  for (const fs::directory_entry& file : fs::directory_iterator(kHere / kind / name, none))
    files.insert(file.path());
  return {files.begin(), files.end()};
}

std::vector<std::uint8_t> bytes_of(const fs::path& file) {
  const std::string text = test::read_text(file);
  return {text.begin(), text.end()};
}

class FuzzTargets : public testing::TestWithParam<FuzzTarget> {};

// At least every second seed, or the target would refuse for a reason of its own whatever fuzzing tries.
TEST_P(FuzzTargets, TakeSeeds) {
  const std::vector<fs::path> seeds = inputs("seeds", GetParam().name);
  ASSERT_FALSE(seeds.empty()) << "tests/fuzz/make_seeds.py writes them";
  std::size_t taken = 0;
  for (const fs::path& seed : seeds) {
    SCOPED_TRACE(seed.filename());
    const std::vector<std::uint8_t> bytes = bytes_of(seed);
    EXPECT_LE(bytes.size(), GetParam().longest);
    EXPECT_NO_THROW(taken += GetParam().run(bytes) ? 1U : 0U);
  }
  EXPECT_GE(2 * taken, seeds.size());
}

TEST_P(FuzzTargets, SurviveFoundCases) {
  for (const fs::path& found : inputs("found", GetParam().name)) {
    SCOPED_TRACE(found.filename());
    EXPECT_NO_THROW((void)GetParam().run(bytes_of(found)));
  }
}

// What is right already stays as it is.
TEST(FuzzInputs, AreRepairedOnlyWhereTheirChecksumsAreWrong) {
  for (const FuzzTarget& target : fuzz_targets()) {
    if (target.repaired == nullptr) continue;
    for (const fs::path& seed : inputs("seeds", target.name)) {
      const std::vector<std::uint8_t> bytes = bytes_of(seed);
      if (!target.run(bytes)) continue;
      EXPECT_EQ(target.repaired(bytes), bytes) << seed;
    }
  }
  std::vector<std::uint8_t> gzip = bytes_of(kHere / "seeds/gzip/images"),
                            png = bytes_of(kHere / "seeds/picture/grey.png"),
                            weights = bytes_of(kHere / "seeds/safetensors/model");
  gzip[gzip.size() - 8] ^= 1;
  png[29] ^= 1;
  weights.back() ^= 1;
  EXPECT_FALSE(fuzz_gzip(gzip));
  EXPECT_TRUE(fuzz_gzip(repaired_gzip(gzip)));
  EXPECT_FALSE(fuzz_picture(png));
  EXPECT_TRUE(fuzz_picture(repaired_png(png)));
  EXPECT_NE(repaired_safetensors(weights), weights);
  EXPECT_EQ(repaired_safetensors(repaired_safetensors(weights)), repaired_safetensors(weights));
}

// No folder of inputs is left over from a target that has another name now.
TEST(FuzzInputs, BelongToTargets) {
  std::set<std::string> names;
  for (const FuzzTarget& target : fuzz_targets()) names.insert(target.name);
  for (const char* kind : {"seeds", "found"}) {
    std::error_code none;
    for (const fs::directory_entry& folder : fs::directory_iterator(kHere / kind, none))
      EXPECT_TRUE(names.contains(folder.path().filename().string())) << folder.path();
  }
}

// The target has options of its own kinds; these files go through the program's, up to a network that there is not.
TEST(FuzzInputs, OfConfigReachTheProgram) {
  for (const char* kind : {"seeds", "found"}) {
    for (const fs::path& file : inputs(kind, "config")) {
      const test::Outcome outcome =
          test::ChildProcess({TRAINER_BINARY, "train", "--config", file.string(), "--model", "there-is-none"})
              .wait();
      EXPECT_EQ(outcome.code, 2) << file << ": " << outcome.err;
      EXPECT_TRUE(outcome.err.starts_with("error: ")) << file << ": " << outcome.err;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, FuzzTargets, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace trainer::fuzz
