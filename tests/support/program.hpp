// The trainer as a user runs it, in a folder of its own: runs/ for results, data/ a small data set,
// small.yaml a small network.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/child_process.hpp"
#include "tests/train/small_data.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/store/safetensors.hpp"

namespace trainer::test {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    write_small_data(folder_);
    write_network({});
  }

  void write_network(const SmallNetwork& network) { folder_.write("small.yaml", small_network(network)); }

  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  // No GPU, unless the test shows it one with CUDA_VISIBLE_DEVICES=0.
  ChildOptions options(const Words& environment = {}) const {
    Words all = environment;
    const auto shows = [](const std::string& word) { return word.starts_with("CUDA_VISIBLE_DEVICES="); };
    if (std::none_of(all.begin(), all.end(), shows)) all.emplace_back("CUDA_VISIBLE_DEVICES=");
    return {all, folder_.path().string()};
  }

  static Words command(const Words& arguments) {
    Words words{TRAINER_BINARY};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }

  Outcome trainer(const Words& arguments, const Words& environment = {}) const {
    return ChildProcess(command(arguments), options(environment)).wait();
  }

  // A line of the shell, in which "$T" is the program.
  Outcome shell(const std::string& line, const Words& environment = {}) const {
    Words all{"T=" TRAINER_BINARY};
    all.insert(all.end(), environment.begin(), environment.end());
    return ChildProcess({"/bin/sh", "-c", line}, options(all)).wait();
  }

  // The interpreter of Python that TRAINER_PYTHON names, or python3, in quotes; "" if it lacks one of these modules ("numpy, onnx").
  std::string python(const std::string& modules) const {
    const char* chosen = std::getenv("TRAINER_PYTHON");
    const std::string name = std::string("'") + (chosen != nullptr ? chosen : "python3") + "' ";
    return shell(name + "-c 'import " + modules + "'").code == 0 ? name : "";
  }

  // The code of docs/weights.md's example of that number, from 0.
  static std::string weights_example(int number) {
    const std::string text = read_text(fs::path(TRAINER_SOURCE_DIR) / "docs/weights.md");
    const std::string mark = "```python\n";
    std::size_t begin = text.find(mark);
    for (; number > 0; --number) begin = text.find(mark, begin + 1);
    begin += mark.size();
    return text.substr(begin, text.find("```", begin) - begin);
  }

  // `train` with the small network and data, on one thread.
  static Words small_training(const Words& more = {}) {
    Words words{"train", "--model", "small.yaml", "--data", "data", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  RunRecord record(const std::string& run) const { return read_run_record(folder_ / run / "run.json"); }

  std::vector<Json> metrics(const std::string& run) const {
    return json_lines(read_text(folder_ / run / "metrics.jsonl"));
  }

  static std::vector<Json> json_lines(const std::string& text) {
    std::vector<Json> values;
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::size_t end = text.find('\n', begin);
      EXPECT_NE(end, std::string::npos) << "an unfinished line";
      if (end == std::string::npos) break;
      values.push_back(Json::parse(text.substr(begin, end - begin)));
      begin = end + 1;
    }
    return values;
  }

  TemporaryFolder folder_;
};

// Waits until `condition` holds; false after a minute.
inline bool wait_until(const auto& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return false;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// An error as the program reports it: one line, its name in front, none of what a crash leaves behind.
inline void expect_one_line(const Outcome& outcome, int code) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.signal, 0);
  EXPECT_TRUE(outcome.err.starts_with("error: ")) << outcome.err;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
  for (const char* word : {"terminate", "std::", "what()", "basic_", "nlohmann", "[json", "Aborted"})
    EXPECT_EQ(outcome.err.find(word), std::string::npos) << outcome.err;
}

// The tensors of two files have the same names, shapes and bits.
inline void expect_same_tensors(const fs::path& a, const fs::path& b) {
  const SafetensorsFile first = SafetensorsFile::read(a);
  const SafetensorsFile second = SafetensorsFile::read(b);
  ASSERT_EQ(first.tensors().size(), second.tensors().size());
  ASSERT_FALSE(first.tensors().empty());
  for (const Tensor& tensor : first.tensors()) {
    const auto other = second.require(tensor.name, tensor.shape);
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other.begin(), other.end()))
        << tensor.name << " of " << a << " and " << b;
  }
}

}  // namespace trainer::test
