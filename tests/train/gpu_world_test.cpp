// Ranks on the GPUs of this machine, real or emulated, a thread each and connected by NCCL: a world of one, and as many as there are.
#include <numeric>

#include "tests/kernels/gpu_rank.hpp"
#include "tests/train/broken_training.hpp"
#include "tests/train/rank_training.hpp"

namespace trainer::test {
namespace {

// Of so many ranks as the parameter says; scripts/gpu_check.sh reads the reasons for which a case is skipped.
class GpuWorld : public OnGpu, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    if (std::cmp_greater(GetParam(), all_gpus().size()))
      GTEST_SKIP() << "not run on " << GetParam() << " GPUs: this machine has " << all_gpus().size();
    try {
      run_ranks(1, [](Communicator& ranks) { make_cuda_backend({})->join({.ranks = &ranks}); });
    } catch (const BackendError& error) {
      if (std::string(error.what()).find("NCCL") == std::string::npos) throw;
      GTEST_SKIP() << error.what();
    }
  }
};

TEST_P(GpuWorld, RecordedExchangesHaveTheBitsOfTheHost) {
  for (const int bits : {1, 16, 32}) {
    expect_bits_of_host({.ranks = GetParam(), .bits = bits, .gap = 1});
    expect_bits_of_host({.ranks = GetParam(), .bits = bits, .full_steps = 2});
  }
  std::vector<std::size_t> long_columns(64);
  std::iota(long_columns.begin(), long_columns.end(), 20'000);
  expect_bits_of_host({.ranks = GetParam(), .bits = 1, .columns = long_columns, .steps = 2});
}

TEST_P(GpuWorld, PortableBitsAreThoseOfOneProcess) {
  if (8 % GetParam() != 0) GTEST_SKIP() << GetParam() << " ranks do not divide the 8 shards of portable bits";
  Trial trial{.model = "sprint-lean", .batch = 8, .images = 19, .last_batch = LastBatch::mask};
  const Trained alone = train(trial, nullptr);
  trial.engine = [](const Trial& of, int rank) {
    return make_cuda_backend({.device = rank, .bits = of.bits});
  };
  for (const Trained& one : train_on(trial, GetParam())) EXPECT_EQ(one.digest, alone.digest);
}

TEST_P(GpuWorld, ReplicasOfTheFastEngineStayEqual) {
  for (const int bits : {1, 32}) {
    Trial trial{.model = "quick",
                .batch = 8,
                .images = 17,
                .bits = Bits::fast,
                .gradient_bits = bits,
                .warm_start_images = 8};
    trial.engine = [](const Trial&, int rank) { return make_cuda_backend({.device = rank}); };
    const std::vector<Trained> all = train_on(trial, GetParam());
    for (const Trained& one : all) EXPECT_EQ(one.digest, all[0].digest) << bits;
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuWorld, testing::Values(1, 2, 3, 4, 8));

}  // namespace
}  // namespace trainer::test
