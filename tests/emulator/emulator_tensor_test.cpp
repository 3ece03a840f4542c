// The tensor-core instruction under the emulated CUDA, and the products that kernels/cuda builds on it.
#include <cmath>
#include <limits>
#include <random>

#include "kernels/cuda/matmul/tensor_cores.cuh"
#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

using trainer::cuda::Factors;
using trainer::cuda::Parts;

constexpr unsigned kLanes = 32;

struct Operands {
  float a[4], b[2], d[4];
};

__global__ void by_tensor_cores(Operands* all) {
  Operands& own = all[threadIdx.x];
  trainer::cuda::multiply_tf32(own.d, own.a, own.b);
}

__global__ void by_shuffles(Operands* all) {
  Operands& own = all[threadIdx.x];
  trainer::cuda::multiply_by_shuffles(own.d, own.a, own.b);
}

__global__ void lane_7_stays_away(Operands* all) {
  Operands& own = all[threadIdx.x];
  if (threadIdx.x != 7) trainer::cuda::multiply_tf32(own.d, own.a, own.b);
}

// Adds the products `times` times, with the left factors multiplied by 1 to 13 in turn.
template <Factors kFactors>
__global__ void multiply_again_and_again(Operands* all, int times) {
  Operands& own = all[threadIdx.x];
  const Parts<kFactors, 2> b[] = {Parts<kFactors, 2>(own.b)};
  for (int i = 0; i < times; ++i) {
    float left[4];
    for (int k = 0; k < 4; ++k) left[k] = own.a[k] * static_cast<float>(i % 13 + 1);
    const Parts<kFactors, 4> a[] = {Parts<kFactors, 4>(left)};
    trainer::cuda::multiply<kFactors>(own.d, a, b);
  }
}

class TensorCores : public EmulatorTest {
 protected:
  std::vector<Operands> after(void (*kernel)(Operands*), const std::vector<Operands>& before) {
    Operands* all = upload(before);
    EXPECT_EQ(launch(nullptr, 1, kLanes, kernel, all), cudaSuccess) << failure();
    return read(all, kLanes);
  }

  float sum_of(Factors factors, float left, float right, int times) {
    Operands own{};
    for (float& a : own.a) a = left;
    for (float& b : own.b) b = right;
    Operands* all = upload(std::vector<Operands>(kLanes, own));
    const auto kernel = factors == Factors::fp32 ? multiply_again_and_again<Factors::fp32>
                                                 : multiply_again_and_again<Factors::tf32>;
    EXPECT_EQ(launch(nullptr, 1, kLanes, kernel, all, times), cudaSuccess) << failure();
    return read(all, kLanes).front().d[0];
  }
};

// The inputs are whole numbers, so that no sum is rounded.
TEST_F(TensorCores, MultiplyAsShufflesDo) {
  std::mt19937 bits(5);
  std::vector<Operands> before(kLanes);
  for (Operands& own : before) {
    for (float& a : own.a) a = static_cast<float>(bits() % 200) - 100;
    for (float& b : own.b) b = static_cast<float>(bits() % 200) - 100;
    for (float& d : own.d) d = static_cast<float>(bits() % 200);
  }
  const std::vector<Operands> tensor = after(by_tensor_cores, before);
  const std::vector<Operands> shuffled = after(by_shuffles, before);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(tensor[lane].d[i], shuffled[lane].d[i]) << lane << ' ' << i;
  }
}

TEST_F(TensorCores, CutFactorsOff) {
  EXPECT_EQ(sum_of(Factors::tf32, 1 + 0x1.8p-11F, 1, 1), 8);
  EXPECT_EQ(sum_of(Factors::tf32, -1 - 0x1.8p-11F, 1, 1), -8);
  EXPECT_EQ(sum_of(Factors::tf32, 1 + 0x1p-10F, 1, 1), 8 + 0x1p-7F);
}

TEST_F(TensorCores, TakeFactorsOfFp32InParts) {
  constexpr float kFarthest = 1 + 4095 * 0x1p-23F;  // from a TF32 number
  for (const float left : {kFarthest, 1 + 8191 * 0x1p-23F, 1.9999999F, 3.14159274F, 1e-3F}) {
    for (const float right : {1.0F, kFarthest, 1 + 8191 * 0x1p-23F, -1.41421354F, 0.999999F, 2e5F}) {
      const double want = 8.0 * static_cast<double>(left) * static_cast<double>(right);
      EXPECT_NEAR(sum_of(Factors::fp32, left, right, 1), want, 0x1p-21 * std::abs(want));
    }
  }
}

// Truncation in the tensor cores' sums would give many times this error.
TEST_F(TensorCores, DoNotCutLongSumsOfFp32) {
  double want = 0;
  for (int i = 0; i < 2000; ++i)
    want += 8 * static_cast<double>(0.7F * static_cast<float>(i % 13 + 1)) * static_cast<double>(0.6F);
  EXPECT_NEAR(sum_of(Factors::fp32, 0.7F, 0.6F, 2000), want, 2e-6 * want);
  EXPECT_LT(sum_of(Factors::tf32, 0.7F, 0.6F, 2000), want * (1 - 1e-5));
}

TEST_F(TensorCores, ShowWhatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Factors factors : {Factors::fp32, Factors::tf32}) {
    EXPECT_FALSE(std::isfinite(sum_of(factors, infinity, 1, 1)));
    EXPECT_TRUE(std::isnan(sum_of(factors, 1, std::numeric_limits<float>::quiet_NaN(), 1)));
  }
}

TEST_F(TensorCores, NeedAllLanesOfAWarp) {
  Operands* all = upload(std::vector<Operands>(kLanes));
  EXPECT_EQ(launch(nullptr, 1, kLanes, lane_7_stays_away, all), cudaErrorLaunchFailure);
  expect_failure("mma.sync");
}

}  // namespace
}  // namespace emulator
