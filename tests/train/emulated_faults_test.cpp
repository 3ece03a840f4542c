// Every call that a training makes of CUDA and its libraries fails once, in an emulated device: the run ends
// with an error that names what was asked for, gives everything back, and what it saved before goes on to the
// bits of a run that nothing happened to.
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "tests/emulator/emulator_fixture.hpp"
#include "tests/support/program.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

// A convolution of our own and one of the library's, dense layers, dropout and a norm; launches of 16 steps
// and of one.
const SmallTraining kTraining{
    .data = {.train = 38, .test = 8},
    .network = {.optimizer = "adam",
                .rate = "0.001",
                .batch = 2,
                .layers =
                    "  - conv: {out: 3, kernel: 3}\n  - relu\n  - maxpool: {size: 2}\n"
                    "  - conv: {out: 4, kernel: 2}\n  - batchnorm\n  - relu\n  - dropout: {drop: 0.25}\n"
                    "  - dense: {out: 8}\n  - relu\n"}};

// What gives back, and what only tells: their failure changes nothing.
bool may_fail_unnoticed(const std::string& call) {
  static const std::set<std::string> calls{"cudaFree",
                                           "cudaStreamDestroy",
                                           "cudaEventDestroy",
                                           "cudaGraphDestroy",
                                           "cudaGraphExecDestroy",
                                           "cudaDriverGetVersion",
                                           "cudaRuntimeGetVersion"};
  return calls.contains(call);
}

// What an error says of a call, where it does not go by its own name.
std::string said_of(const std::string& call) {
  static const std::map<std::string, std::string> words{
      {"cudaFuncGetAttributes", "the code of "},
      {"cudaMemcpyAsync", "a copy "},
      {"cudaOccupancyMaxActiveBlocksPerMultiprocessor", "the room for "},
      {"cudaStreamSynchronize", "work on the GPU"},
      {"cudaEventQuery", "a training step on the GPU"},
  };
  const auto found = words.find(call);
  return found == words.end() ? call : found->second;
}

// Before the emulator's own word for it.
std::string own_words(const std::string& message) {
  return message.substr(0, message.find(": cudaError"));
}

class EmulatedFaults : public emulator::EmulatorTest {
 protected:
  // A whole run, saved where it is due; everything of it is gone when this returns.
  std::vector<float> train() {
    TrainingTrial trial(kTraining, kGpu);
    trial.on_checkpoint = [&](const LoopPosition& position) { trial.save(file(), position); };
    trial.run({.checkpoint_steps = 16});
    return state_of(trial.network());
  }

  // The error that the run ended with; empty: it ended well.
  std::string error_of_run() {
    std::error_code none;
    fs::remove(file(), none);
    try {
      const std::vector<float> state = train();
      EXPECT_EQ(state, whole_);
      return "";
    } catch (const BackendError& error) {
      EXPECT_STRNE(error.what(), "");
      return error.what();
    }
  }

  void expect_nothing_held() { EXPECT_EQ(emulator::leak_report(), ""); }

  // On a device that is whole again.
  void expect_checkpoint_goes_on() {
    emulator::reset();
    TrainingTrial trial(kTraining, kGpu);
    trial.run_from(trial.load(file()));
    EXPECT_EQ(state_of(trial.network()), whole_);
  }

  bool saved() const { return fs::exists(file()); }
  fs::path file() const { return folder_ / "checkpoint.safetensors"; }

  // All of the first, then some, and the last: a training makes some calls by the hundred.
  static std::vector<int> sample(int count, int first, int more) {
    std::vector<int> numbers;
    for (int n = 1; n <= count; n += n < first ? 1 : std::max(1, count / more)) numbers.push_back(n);
    if (numbers.back() != count) numbers.push_back(count);
    return numbers;
  }

  TemporaryFolder folder_;
  std::vector<float> whole_ = train();
};

TEST_F(EmulatedFaults, EveryCallThatFailsEndsTheRunWithItsName) {
  const std::map<std::string, int> made = emulator::counted("call ");
  const std::map<std::string, int> kernels = emulator::counted("run ");
  ASSERT_GT(made.size(), 20U);
  int runs = 0;
  for (const auto& [call, count] : made) {
    bool resumed = false;
    for (const int nth : sample(count, 6, 5)) {
      SCOPED_TRACE(call + ", call " + std::to_string(nth) + " of " + std::to_string(count));
      emulator::reset();
      emulator::fail_call(call, nth, cudaErrorUnknown);
      const std::string error = error_of_run();
      ++runs;
      expect_nothing_held();
      if (error.empty()) {
        EXPECT_TRUE(may_fail_unnoticed(call)) << "nobody noticed";
        continue;
      }
      if (call == "cudaLaunchKernelEx") {
        EXPECT_TRUE(kernels.contains(own_words(error))) << error;
      } else {
        EXPECT_PRED2(contains, own_words(error), said_of(call));
      }
      EXPECT_EQ(error.find('\n'), std::string::npos) << error;
      if (saved() && !std::exchange(resumed, true)) expect_checkpoint_goes_on();
    }
  }
  RecordProperty("runs", runs);
}

TEST_F(EmulatedFaults, AKernelThatFailsEndsTheRunWhetherItsWorkIsInFlightOrNot) {
  const int kernels = static_cast<int>(emulator::kernels_run() + emulator::library_calls_run());
  ASSERT_GT(kernels, 300);
  for (const bool held : {false, true}) {
    int resumed = 0;
    for (const int nth : sample(kernels, 2, 12)) {
      SCOPED_TRACE("kernel " + std::to_string(nth) + (held ? ", in flight" : ""));
      emulator::reset();
      emulator::hold_work(held);
      emulator::fail_launch(nth, cudaErrorIllegalAddress);
      const std::string error = error_of_run();
      EXPECT_PRED2(contains, error, "cudaErrorIllegalAddress (700)");
      expect_nothing_held();
      if (saved() && resumed++ < 2) expect_checkpoint_goes_on();
    }
    EXPECT_GT(resumed, 0) << "no fault came behind a checkpoint";
  }
}

TEST_F(EmulatedFaults, MemoryThatIsFullIsNamedByItsArenaWithWhatThereIs) {
  const int allocations = static_cast<int>(emulator::calls("cudaMalloc"));
  std::set<std::string> arenas;
  for (int nth = 1; nth <= allocations; ++nth) {
    emulator::reset();
    emulator::fail_call("cudaMalloc", nth, cudaErrorMemoryAllocation);
    const std::string error = error_of_run();
    EXPECT_TRUE(error.starts_with("out of GPU memory: ")) << error;
    EXPECT_PRED2(contains, error, "GiB of 4.000 GiB free");
    const std::size_t begin = error.find("asked for ") + 10;
    arenas.insert(error.substr(begin, error.find(',') - begin));
    expect_nothing_held();
  }
  for (const char* arena :
       {"the parameters", "the gradients", "the optimiser's state", "the running statistics",
        "the activations", "the gradients of the activations", "what backward needs of forward",
        "the workspace", "the training images", "the training labels", "the test images"})
    EXPECT_TRUE(arenas.contains(arena)) << arena;
}

TEST_F(EmulatedFaults, ASmallDeviceSaysHowMuchWasAskedForAndIsLeft) {
  emulator::reset();
  emulator::Machine machine;
  machine.devices[0].total_bytes = std::size_t{1} << 30U;
  machine.devices[0].free_bytes = std::size_t{256} << 20U;
  emulator::play(machine);
  const auto backend = make_backend(kGpu);
  try {
    backend->allocate(std::size_t{512} << 20U, "the activations");
    FAIL() << "got more than there is";
  } catch (const BackendError& error) {
    EXPECT_PRED2(contains, error.what(),
                 "0.500 GiB asked for the activations, 0.250 GiB of 1.000 GiB free; a smaller --batch");
  }
  EXPECT_EQ(backend->allocate(std::size_t{1} << 20U, "less").bytes(), std::size_t{1} << 20U);
}

TEST_F(EmulatedFaults, ALostDeviceStaysLostAndTheErrorSaysWhere) {
  for (const bool held : {false, true}) {
    emulator::reset();
    emulator::hold_work(held);
    TrainingTrial trial(kTraining, kGpu);
    trial.on_progress = [](const LoopProgress& at) {
      if (at.step == 16) emulator::fail_launch(3, cudaErrorECCUncorrectable);
    };
    EXPECT_THROW(trial.run(), BackendError);
    EXPECT_THROW(trial.network().read_training_state(), BackendError);
    EXPECT_THROW(make_backend(kGpu), BackendError);
  }
}

}  // namespace
}  // namespace trainer::test
