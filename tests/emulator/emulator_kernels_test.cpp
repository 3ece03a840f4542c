// Kernels under the emulated CUDA compute what they would on a GPU: thread indices, barriers, shuffles, votes, atomics.
#include <cooperative_groups.h>
#include <cstdint>
#include <numeric>

#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

__global__ void write_index(unsigned* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = i;
}

__global__ void write_coordinates(uint3* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = threadIdx;
}

__global__ void reverse_block(int* values) {
  __shared__ int kept[256];
  kept[threadIdx.x] = values[blockIdx.x * 256 + threadIdx.x];
  __syncthreads();
  values[blockIdx.x * 256 + threadIdx.x] = kept[255 - threadIdx.x];
}

__global__ void tree_sum(const int* values, int* sums) {
  __shared__ int parts[256];
  parts[threadIdx.x] = values[blockIdx.x * 256 + threadIdx.x];
  for (unsigned half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}

__global__ void warp_sum(int* sums) {
  int value = static_cast<int>(threadIdx.x);
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAll, value, lanes);
  sums[threadIdx.x] = value;
}

struct Shuffles {
  int up, down, up_in_8, down_in_8, broadcast;
  double as_double;
};

__global__ void shuffle_all(Shuffles* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane].up = __shfl_up_sync(kAll, lane, 3);
  out[lane].down = __shfl_down_sync(kAll, lane, 3);
  out[lane].up_in_8 = __shfl_up_sync(kAll, lane, 3, 8);
  out[lane].down_in_8 = __shfl_down_sync(kAll, lane, 3, 8);
  out[lane].broadcast = __shfl_sync(kAll, lane, 5, 16);
  out[lane].as_double = __shfl_xor_sync(kAll, lane + 0.5, 1);
}

struct Votes {
  unsigned third, alike;
  int any, all, count, some, everyone;
};

__global__ void vote(Votes* out) {
  const int lane = static_cast<int>(threadIdx.x);
  Votes votes{};
  votes.third = __ballot_sync(kAll, lane % 3 == 0);
  votes.any = __any_sync(kAll, lane == 31);
  votes.all = __all_sync(kAll, lane < 31);
  votes.alike = __match_any_sync(kAll, lane / 8);
  votes.count = __syncthreads_count(lane < 7);
  votes.some = __syncthreads_or(lane == 9);
  votes.everyone = __syncthreads_and(lane != 9);
  out[lane] = votes;
}

// Each half of a warp uses its own mask, at its own place in the code.
__global__ void two_halves(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 16) {
    out[lane] = __shfl_xor_sync(0x0000FFFFU, lane, 1);
  } else {
    out[lane] = __shfl_xor_sync(0xFFFF0000U, lane, 2);
  }
}

__global__ void last_block_sums(const int* values, int* partial, unsigned* ticket, int* sum) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = values[blockIdx.x];
    __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    int total = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) total += partial[b];
    *sum = total;
  }
}

__global__ void count_all(unsigned* count, int* most, unsigned long long* sum) {
  atomicAdd(count, 1U);
  atomicMax(most, static_cast<int>(threadIdx.x));
  atomicAdd(sum, 1ULL << 33U);
}

TEST_F(EmulatorTest, EveryThreadOfEveryBlockRunsOnceAtItsPlace) {
  auto* out = allocate<unsigned>(7 * 96);
  ASSERT_EQ(launch(nullptr, 7, 96, write_index, out), cudaSuccess);
  std::vector<unsigned> want(7 * 96);
  std::iota(want.begin(), want.end(), 0U);
  EXPECT_EQ(read(out, want.size()), want);
}

TEST_F(EmulatorTest, GridsAndBlocksHaveThreeDimensions) {
  auto* out = allocate<uint3>(2 * 3 * 2 * 4 * 3 * 2);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(2, 3, 2);
  config.blockDim = dim3(4, 3, 2);
  ASSERT_EQ(cudaLaunchKernelEx(&config, write_coordinates, out), cudaSuccess);
  const auto got = read(out, 2 * 3 * 2 * 4 * 3 * 2);
  for (unsigned i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].x, i % 4);
    EXPECT_EQ(got[i].y, i / 4 % 3);
    EXPECT_EQ(got[i].z, i / 12 % 2);
  }
}

TEST_F(EmulatorTest, ABarrierBringsABlockTogether) {
  std::vector<int> start(512);
  std::iota(start.begin(), start.end(), 0);
  auto* values = upload(start);
  ASSERT_EQ(launch(nullptr, 2, 256, reverse_block, values), cudaSuccess);
  const auto got = read(values, 512);
  for (int i = 0; i < 256; ++i) {
    ASSERT_EQ(got[static_cast<std::size_t>(i)], 255 - i);
    ASSERT_EQ(got[static_cast<std::size_t>(256 + i)], 511 - i);
  }
  auto* sums = allocate<int>(2);
  ASSERT_EQ(launch(nullptr, 2, 256, tree_sum, values, sums), cudaSuccess);
  EXPECT_EQ(read(sums, 2), (std::vector<int>{255 * 128, 255 * 128 + 256 * 256}));
}

TEST_F(EmulatorTest, AWarpSumsByShuffles) {
  auto* sums = allocate<int>(64);
  ASSERT_EQ(launch(nullptr, 1, 64, warp_sum, sums), cudaSuccess);
  const auto got = read(sums, 64);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(got[i], i < 32 ? 496 : 496 + 32 * 32);
}

TEST_F(EmulatorTest, ShufflesStayInTheirSegment) {
  auto* out = allocate<Shuffles>(32);
  ASSERT_EQ(launch(nullptr, 1, 32, shuffle_all, out), cudaSuccess);
  const auto got = read(out, 32);
  for (int lane = 0; lane < 32; ++lane) {
    const Shuffles& s = got[static_cast<std::size_t>(lane)];
    EXPECT_EQ(s.up, lane < 3 ? lane : lane - 3);
    EXPECT_EQ(s.down, lane > 28 ? lane : lane + 3);
    EXPECT_EQ(s.up_in_8, lane % 8 < 3 ? lane : lane - 3);
    EXPECT_EQ(s.down_in_8, lane % 8 > 4 ? lane : lane + 3);
    EXPECT_EQ(s.broadcast, lane < 16 ? 5 : 21);
    EXPECT_EQ(s.as_double, (lane ^ 1) + 0.5);
  }
}

TEST_F(EmulatorTest, VotesCountEveryLane) {
  auto* out = allocate<Votes>(32);
  ASSERT_EQ(launch(nullptr, 1, 32, vote, out), cudaSuccess);
  const auto got = read(out, 32);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(got[lane].third, 0x49249249U);
    EXPECT_EQ(got[lane].alike, 0xFFU << (lane / 8 * 8));
    EXPECT_EQ(got[lane].any, 1);
    EXPECT_EQ(got[lane].all, 0);
    EXPECT_EQ(got[lane].count, 7);
    EXPECT_EQ(got[lane].some, 1);
    EXPECT_EQ(got[lane].everyone, 0);
  }
}

TEST_F(EmulatorTest, PartsOfAWarpMayGoDifferentWays) {
  auto* out = allocate<int>(32);
  ASSERT_EQ(launch(nullptr, 1, 32, two_halves, out), cudaSuccess);
  const auto got = read(out, 32);
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(got[static_cast<std::size_t>(lane)], lane ^ (lane < 16 ? 1 : 2));
  }
}

TEST_F(EmulatorTest, TheBlockThatComesLastSeesAllOthers) {
  auto* values = upload(std::vector<int>(100, 3));
  auto* partial = allocate<int>(100);
  auto* ticket = zeros<unsigned>(1);
  auto* sum = allocate<int>(1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(cudaMemset(sum, 0, sizeof(int)), cudaSuccess);
    ASSERT_EQ(launch(nullptr, 100, 32, last_block_sums, values, partial, ticket, sum), cudaSuccess);
    EXPECT_EQ(read(sum, 1)[0], 300);
  }
}

// Each round adds what the neighbouring block's shared memory held in the previous round.
__global__ void pass_around(int* values, int rounds) {
  __shared__ int kept[64];
  kept[threadIdx.x] = static_cast<int>(blockIdx.x);
  __syncthreads();
  for (int i = 0; i < rounds; ++i) {
    values[blockIdx.x * 64 + threadIdx.x] = kept[63 - threadIdx.x];
    cooperative_groups::this_grid().sync();
    kept[threadIdx.x] += values[(blockIdx.x + 1) % gridDim.x * 64 + threadIdx.x];
    cooperative_groups::this_grid().sync();
  }
  values[blockIdx.x * 64 + threadIdx.x] = kept[threadIdx.x];
}

TEST_F(EmulatorTest, BlocksOfACooperativeLaunchWaitForOneAnother) {
  for (int i = 0; i < 3; ++i) {
    auto* values = allocate<int>(256);
    ASSERT_EQ(launch_cooperative(4, 64, pass_around, values, 2), cudaSuccess);
    const std::vector<int> got = read(values, 256);
    const int want[4] = {0 + 2 * 1 + 2, 1 + 2 * 2 + 3, 2 + 2 * 3 + 0, 3 + 2 * 0 + 1};
    for (int at = 0; at < 256; ++at) ASSERT_EQ(got[static_cast<std::size_t>(at)], want[at / 64]) << at;
  }
}

TEST_F(EmulatorTest, ACooperativeLaunchThatDoesNotFitAtOnceIsRefused) {
  auto* values = allocate<int>(std::size_t{100} * 64);
  EXPECT_EQ(launch_cooperative(65, 64, pass_around, values, 1), cudaErrorCooperativeLaunchTooLarge);
  EXPECT_EQ(launch_cooperative(64, 64, pass_around, values, 1), cudaSuccess);
}

TEST_F(EmulatorTest, AtomicsLoseNothing) {
  auto* count = zeros<unsigned>(1);
  auto* most = zeros<int>(1);
  auto* sum = zeros<unsigned long long>(1);
  ASSERT_EQ(launch(nullptr, 5, 200, count_all, count, most, sum), cudaSuccess);
  EXPECT_EQ(read(count, 1)[0], 1000U);
  EXPECT_EQ(read(most, 1)[0], 199);
  EXPECT_EQ(read(sum, 1)[0], 1000ULL << 33U);
}

}  // namespace
}  // namespace emulator
