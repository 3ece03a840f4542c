// How much of what other programs print is explained: messages.json holds messages with the public page that each was found on and
// the row that explains it (null: none). The patterns of failures/*.yaml are written on the half "writing" alone; "test" is of a
// collection whose misses nobody looked at. TRAINER_UPDATE_GOLDEN=1 writes README's table anew.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {
namespace {

struct Collected {
  std::string key;  // empty: nothing is to be explained
  std::string message;
  std::string source;
  std::string half;
};

std::vector<Collected> collected() {
  std::ifstream in(TRAINER_SOURCE_DIR "/tests/doctor/messages.json");
  std::vector<Collected> all;
  for (const nlohmann::json& value : nlohmann::json::parse(in)) {
    const nlohmann::json& key = value.at("key");
    all.push_back({key.is_null() ? "" : key.get<std::string>(), value.at("message"), value.at("source"),
                   value.at("half")});
  }
  return all;
}

struct Measure {
  int messages = 0;
  int known = 0;      // messages that have a row
  int explained = 0;  // messages that were given a row
  int right = 0;      // whose first row is the one
  double recall() const { return static_cast<double>(right) / known; }
  double precision() const { return static_cast<double>(right) / explained; }
};

Measure measure(const std::string& half) {
  Measure result;
  for (const Collected& one : collected()) {
    if (one.half != half) continue;
    const Explanation explanation = explain(one.message);
    const std::string first = explanation.found.empty() ? "" : std::string(explanation.found.front().key);
    ++result.messages;
    result.known += one.key.empty() ? 0 : 1;
    result.explained += first.empty() ? 0 : 1;
    result.right += !first.empty() && first == one.key ? 1 : 0;
  }
  return result;
}

std::string table_row(const char* name, const std::string& half) {
  const Measure found = measure(half);
  return fmt::format("| {} | {} | {} | {:.1f} % ({} of {}) | {:.1f} % ({} of {}) |\n", name, found.messages,
                     found.messages - found.known, 100 * found.recall(), found.right, found.known,
                     100 * found.precision(), found.right, found.explained);
}

TEST(Messages, AreManyEachOnceAndWithTheirSource) {
  const std::vector<Collected> all = collected();
  std::set<std::string> messages;
  for (const Collected& one : all) {
    EXPECT_TRUE(messages.insert(one.message).second) << one.message;
    EXPECT_TRUE(one.source.starts_with("http")) << one.message;
    EXPECT_TRUE(one.half == "writing" || one.half == "test") << one.message;
    if (one.key.empty()) continue;
    EXPECT_NO_THROW((void)known_failure(one.key)) << one.message;
  }
  EXPECT_GE(all.size(), 200U);
  EXPECT_GE(std::ranges::count(all, "", &Collected::key), 30);
  EXPECT_GE(known_failures().size(), 150U);
}

TEST(Messages, BothHalvesAreExplainedWellEnough) {
  for (const char* half : {"writing", "test"}) {
    EXPECT_GE(measure(half).recall(), 0.85) << half;
    EXPECT_GE(measure(half).precision(), 0.97) << half;
  }
}

TEST(Messages, TheTableOfTheReadmeIsThisMeasure) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP()
      << "a minute under a sanitizer, and BothHalvesAreExplainedWellEnough explains the same messages";
#endif
  const std::string begin = "<!-- table: messages of other programs -->\n";
  const std::string end = "<!-- end of the messages -->\n";
  const std::string path = TRAINER_SOURCE_DIR "/README.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string readme = text.str();
  const std::size_t from = readme.find(begin);
  const std::size_t to = readme.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  const std::string table =
      "| messages | all | of them not to be explained | recall | precision |\n|---|---|---|---|---|\n" +
      table_row("the patterns were written on", "writing") + table_row("the test half", "test");
  readme.replace(from + begin.size(), to - from - begin.size(), table);
  if (std::getenv("TRAINER_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << readme;
  EXPECT_EQ(text.str(), readme) << "TRAINER_UPDATE_GOLDEN=1 writes it anew";
}

TEST(Messages, ALogOfAMegabyteIsExplained) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP()
      << "a minute under a sanitizer, and BothHalvesAreExplainedWellEnough explains the same messages";
#endif
  const auto first_key = [](const std::string& message) {
    const Explanation explanation = explain(message);
    return explanation.found.empty() ? "" : std::string(explanation.found.front().key);
  };
  std::string line;
  std::string lines;
  while (line.size() < 1'000'000) line += "CUDA error ";
  while (lines.size() < 1'000'000) lines += "RuntimeError: CUDA error on rank 1\nconnect to host\n";
  EXPECT_EQ(first_key(line), "");
  EXPECT_EQ(first_key(lines + "connection refused"), "");
  EXPECT_EQ(first_key(line + "\n" + lines + "ssh: connect to host vm port 22: Connection refused"),
            "target-refuses");
  EXPECT_EQ(first_key("connect to host a, connect to host vm port 22: Connection refused"), "target-refuses");
}

}  // namespace
}  // namespace trainer
