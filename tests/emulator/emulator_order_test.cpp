// What a kernel reads too early, too late or past its buffers shows in its result: one warp runs ahead to the next barrier,
// and the bands around an allocation hold a NaN.
#include <algorithm>
#include <vector>

#include "tests/emulator/emulator_fixture.hpp"
#include "tests/emulator/sanitizer.hpp"

namespace emulator {
namespace {

// As the tiles of a product: each warp has the sums of its lanes, and the block adds up those of its warps. `kBarriers` is
// how many of the two barriers are there: without the first, a warp overwrites what others still read.
template <int kBarriers>
__global__ void sum_twice(float* sums) {
  __shared__ float parts[4];
  for (int round = 0; round < 2; ++round) {
    float sum = static_cast<float>(round + 1);
    for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_xor_sync(kAll, sum, lane);
    if (kBarriers == 2) __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    sums[round * blockDim.x + threadIdx.x] = parts[0] + parts[1] + parts[2] + parts[3];
  }
}

TEST_F(EmulatorTest, AMissingBarrierAfterAnOperationOfWarpsIsSeenInTheResult) {
  std::vector<float> expected(256, 128);
  std::fill(expected.begin() + 128, expected.end(), 256.0F);
  auto* sums = allocate<float>(256);
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    order_by(seed);
    ASSERT_EQ(launch(nullptr, 1, 128, sum_twice<2>, sums), cudaSuccess);
    EXPECT_EQ(read(sums, 256), expected);
    ASSERT_EQ(launch(nullptr, 1, 128, sum_twice<1>, sums), cudaSuccess);
    EXPECT_NE(read(sums, 256), expected) << "seed " << seed;
  }
}

__global__ void read_behind(const float* in, int count, float* out) {
  out[threadIdx.x] = in[count + static_cast<int>(threadIdx.x)];
}

TEST_F(EmulatorTest, WhatIsReadPastABufferIsANan) {
  if (kAddressSanitizer) GTEST_SKIP() << "the sanitizer ends the program at such a read";
  auto* in = zeros<float>(3);
  auto* out = zeros<float>(8);
  ASSERT_EQ(launch(nullptr, 1, 8, read_behind, in, 3, out), cudaSuccess);
  for (const float value : read(out, 8)) EXPECT_TRUE(is_poison(value));
  ASSERT_EQ(launch(nullptr, 1, 8, read_behind, in, -8, out), cudaSuccess);
  for (const float value : read(out, 8)) EXPECT_TRUE(is_poison(value));
}

}  // namespace
}  // namespace emulator
