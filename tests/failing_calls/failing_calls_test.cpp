// The program where memory is refused, and the library that refuses it. scripts/failing_calls.sh tries all calls.
#include "tests/emulator/sanitizer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class FailingCalls : public ProgramTest {
 protected:
  void SetUp() override {
    if (emulator::kAddressSanitizer) GTEST_SKIP() << "the sanitizer has malloc to itself";
  }

  Outcome with(const std::string& words, const Words& arguments) const {
    fs::remove(folder_ / "log");
    return trainer(arguments, {"FAILING_CALLS=" + words, "FAILING_CALLS_LOG=" + at("log"),
                               "LD_PRELOAD=" TRAINER_FAILING_CALLS});
  }

  Words log() const {
    std::istringstream text(read_text(folder_ / "log"));
    Words lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(FailingCalls, TheFirstAllocationsEndTheProgramInOrder) {
  int refused = 0;
  for (int n = 1; n <= 120; ++n) {
    const Outcome outcome = with("memory:" + std::to_string(n) + ":fail", {"models"});
    EXPECT_EQ(outcome.signal, 0) << n;
    if (outcome.code == 0) continue;
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, "out of memory");
    ++refused;
  }
  EXPECT_GT(refused, 20);
}

TEST_F(FailingCalls, AHashWithoutMemoryForItIsAnError) {
  ASSERT_EQ(trainer(small_training({"--out", "runs/a"})).code, 0);
  const Words promote{"runs", "promote", "runs/a", "digits"};
  ASSERT_EQ(with("memory:1", promote).code, 0);
  int tried = 0;
  for (const std::string& stack :
       log()) {  // "N COUNT libcrypto.so.3+2333e9 trainer+27b9f0 ...": EVP_MD_CTX_new
    const std::size_t caller = stack.find(' ', stack.find(" libcrypto.so") + 1);
    if (!contains(stack, " libcrypto.so") || !stack.substr(caller).starts_with(" trainer+")) continue;
    fs::remove_all(folder_ / "runs/registry");
    expect_one_line(with("memory:" + stack.substr(0, stack.find(' ')) + ":fail", promote), 1);
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

// opendir and fopen, called by the C++ library.
TEST_F(FailingCalls, AFileThatNoMemoryIsLeftToReadIsNoWrongUsage) {
  ASSERT_EQ(with("memory:1", {"models"}).code, 0);
  int tried = 0;
  for (const std::string& stack :
       log()) {  // "N COUNT libc.so.6+cfd42 libc.so.6+d0416 libstdc++.so.6+16bd31 ..."
    std::istringstream words(stack);
    std::string number, count, first, second, third;
    words >> number >> count >> first >> second >> third;
    if (!first.starts_with("libc.so") || !third.starts_with("libstdc++")) continue;
    const Outcome outcome = with("memory:" + number + ":fail", {"models"});
    if (outcome.code == 0) continue;
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, "memory");
    ++tried;
  }
  EXPECT_GT(tried, 1);
}

// oneDNN allocates last in the steps, where it reports a lack of memory; while it makes primitives, it crashes.
TEST_F(FailingCalls, OneDnnWithoutMemoryIsSaidToHaveNone) {
  const Words train{"train", "--model", "quick", "--data",      "data", "--device",  "cpu",    "--threads",
                    "1",     "--batch", "16",    "--max-steps", "2",    "--no-save", "--quiet"};
  ASSERT_EQ(with("memory:1", train).code, 0);
  std::vector<int> calls;
  for (const std::string& stack : log()) {  // "N COUNT libdnnl.so.2+194c72 ... trainer+44a11d ..."
    if (stack.find(" libdnnl.so") == stack.find(' ', stack.find(' ') + 1)) calls.push_back(std::stoi(stack));
  }
  std::ranges::sort(calls, std::greater());
  int refused = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(calls.size(), 4); ++i) {
    const Outcome outcome = with("memory:" + std::to_string(calls[i]) + ":fail", train);
    if (outcome.signal != 0) continue;
    EXPECT_EQ(outcome.code, 1);
    EXPECT_PRED2(contains, outcome.err, "error: out of memory");
    ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(FailingCalls, MetricsThatCannotBeLookedAtAreNotLost) {
  const std::string metrics = at("run/metrics.jsonl");
  ASSERT_EQ(trainer(small_training({"--out", "run", "--max-steps", "20"})).code, 0);
  const std::string before = read_text(metrics);
  const Words resume{"train", "--resume", "run", "--data", "data", "--threads", "1", "--quiet"};
  fs::copy(folder_ / "run", folder_ / "first");
  ASSERT_EQ(with("files", resume).code, 0);
  const std::string whole = read_text(metrics);
  int tried = 0;
  for (const std::string& call : log()) {
    if (!contains(call, " stat " + metrics)) continue;
    fs::remove_all(folder_ / "run");
    fs::copy(folder_ / "first", folder_ / "run");
    const Outcome outcome = with("files:" + call.substr(0, call.find(' ')) + ":5", resume);
    EXPECT_TRUE(outcome.code == 1 || outcome.code == 0) << outcome.err;
    EXPECT_EQ(std::ranges::count(read_text(metrics), '\n'),
              std::ranges::count(outcome.code == 1 ? before : whole, '\n'))
        << call << outcome.err;
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

TEST_F(FailingCalls, AModelThatCannotBeLookedAtIsNotReplacedByTheCheckpoint) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const Words exported{"export", "run", "-o", "net.onnx"};
  ASSERT_EQ(with("files", exported).code, 0);
  const std::string whole = read_text(folder_ / "net.onnx");
  int tried = 0;
  for (const std::string& call : log()) {
    if (!contains(call, " stat ") || !contains(call, "run/model.safetensors")) continue;
    const Outcome outcome = with("files:" + call.substr(0, call.find(' ')) + ":5", exported);
    EXPECT_TRUE(outcome.code == 1 || outcome.code == 0) << outcome.err;
    EXPECT_EQ(read_text(folder_ / "net.onnx"), whole) << call;
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

TEST_F(FailingCalls, AFolderThatCannotBeReadIsNotOneWithoutData) {
  const Words train{"train",     "--model", "small.yaml", "--data", "data",
                    "--threads", "1",       "--no-save",  "--quiet"};
  ASSERT_EQ(with("files", train).code, 0);
  int tried = 0;
  for (const std::string& call : log()) {
    if (!call.ends_with(" open data") && !call.ends_with(" opendir data")) continue;
    const Outcome outcome = with("files:" + call.substr(0, call.find(' ')) + ":24", train);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_PRED2(contains, outcome.err, "error: data: the folder cannot be read: Too many open files");
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

TEST_F(FailingCalls, TheLibraryListsCallsAndMakesThemFail) {
  const Words train = small_training({"--out", "run"});
  ASSERT_EQ(with("files", train).code, 0);
  const Words calls = log();
  const auto number_of = [&](const std::string& call) {
    for (const std::string& line : calls)
      if (contains(line, call)) return line.substr(0, line.find(' '));
    return std::string("0");
  };
  const std::string write = number_of(" write " + at("run/.checkpoint.safetensors.partial"));
  const std::string rename = number_of(" rename " + at("run/checkpoint.safetensors"));
  fs::remove_all(folder_ / "run");
  Outcome outcome = with("files:" + write + ":28", train);
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "checkpoint.safetensors: writing failed: No space left on device");
  fs::remove_all(folder_ / "run");
  EXPECT_EQ(with("files:" + rename + ":kill", train).signal, SIGKILL);
  EXPECT_TRUE(fs::exists(folder_ / "run/.checkpoint.safetensors.partial"));
  fs::remove_all(folder_ / "run");
  outcome = with("disk:3000", train);
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "No space left on device");
}

}  // namespace
}  // namespace trainer::test
