// No capture is the first to ask for a kernel's code: drivers load it when a kernel is launched first, and
// those before CUDA 12.3 cannot while a stream is captured.
#include <gtest/gtest.h>

#include "models/network.hpp"
#include "models/plan.hpp"
#include "tests/emulator/emulator_fixture.hpp"
#include "tests/support/backends.hpp"

namespace trainer::test {
namespace {

using EmulatedLoading = emulator::EmulatorTest;

constexpr int kBatch = 64;  // of networks whose batch does not matter: plans are the same from 65 on

// Training and test of a network, as they are recorded.
void record_all(Backend& backend, const Spec& spec, int batch) {
  Network network(make_plan(spec, {{28, 28, 1}, 10, batch}), backend, Purpose::training,
                  optimizers_of(spec.recipe));
  StepInput input;
  input.batching = {60000, 0, static_cast<std::uint32_t>(batch)};
  const Buffer nothing = backend.allocate(1, "a test");
  input.images = input.labels = nothing.as<std::uint8_t>();
  const TrainingRule rule{optimizers_of(spec.recipe), spec.recipe.schedule};
  const auto training = backend.record({{[&] { network.train_step(input, rule); }, 3}});
  const auto test = backend.record({{[&] { network.evaluate_step(input); }, 2}});
  EXPECT_GT(training->nodes() + test->nodes(), 0U);
}

TEST_F(EmulatedLoading, NoRecordingOfANetworkLoadsCode) {
  for (const BackendKind kind :
       {BackendKind::cuda, BackendKind::cuda_tf32, BackendKind::cuda_fp16, BackendKind::cuda_bf16}) {
    for (const Spec& spec : all_specs(TRAINER_SOURCE_DIR "/models")) {
      for (const int batch : {kBatch, spec.recipe.batch}) {
        if (batch != kBatch && spec.name.find("sprint") == std::string::npos) continue;
        SCOPED_TRACE(spec.name + ", " + backend_name(kind) + ", batch " + std::to_string(batch));
        emulator::reset();
        record_all(*make_backend(kind), spec, batch);
        EXPECT_EQ(emulator::loaded_in_capture(), std::vector<std::string>{});
        EXPECT_EQ(emulator::kernels_run(), 0U) << emulator::counts_text();
      }
    }
  }
}

TEST_F(EmulatedLoading, ACaptureThatIsTheFirstToLaunchAKernelIsFoundOut) {
  const cudaStream_t stream = make_stream();
  auto* values = zeros<float>(32);
  const auto step = [&] {
    EXPECT_EQ(emulator::launch(stream, 1, 32, emulator::add, values, 1.0F), cudaSuccess);
    EXPECT_EQ(emulator::enqueue(
                  stream, "a library's", [] {}, values),
              cudaSuccess);
  };
  capture(stream, step);
  EXPECT_EQ(emulator::loaded_in_capture(), (std::vector<std::string>{"add", "a library's"}));
  emulator::reset_counts();
  capture(stream, step);
  EXPECT_EQ(emulator::loaded_in_capture(), std::vector<std::string>{}) << "loaded by now";
}

TEST_F(EmulatedLoading, AQuestionAboutAKernelLoadsIt) {
  const cudaStream_t stream = make_stream();
  auto* values = zeros<float>(32);
  cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, emulator::add), cudaSuccess);
  capture(stream, [&] { emulator::launch(stream, 1, 32, emulator::add, values, 1.0F); });
  EXPECT_EQ(emulator::loaded_in_capture(), std::vector<std::string>{});
}

}  // namespace
}  // namespace trainer::test
