// The emulated CUDA finds errors that a GPU would punish or silently ignore: barriers and shuffles that not all threads
// reach, memory that is uninitialised or out of bounds, results that depend on the order of threads.
#include <cmath>
#include <cooperative_groups.h>
#include <cstddef>
#include <cstdio>
#include <utility>

#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

__global__ void first_in_line(int* out) {
  if (out[0] == 0) out[0] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) + 1;
}

TEST_F(EmulatorTest, ADependenceOnTheOrderGivesOtherResultsFromLaunchToLaunch) {
  std::vector<int> argmax;
  for (int i = 0; i < 8; ++i) {
    auto* out = zeros<int>(1);
    ASSERT_EQ(launch(nullptr, 16, 64, first_in_line, out), cudaSuccess);
    argmax.push_back(read(out, 1)[0]);
  }
  EXPECT_NE(argmax, std::vector<int>(8, argmax[0]));
  order_by(0);
  auto* out = zeros<int>(1);
  ASSERT_EQ(launch(nullptr, 16, 64, first_in_line, out), cudaSuccess);
  EXPECT_EQ(read(out, 1)[0], 1) << "the natural order";
}

__global__ void leave_early(int* out) {
  if (threadIdx.x == 7) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void part_at_barriers(int* out) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void barrier_against_shuffle(int* out) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  }
}

__global__ void shuffle_with_gone_lane(int* out) {
  if (threadIdx.x == 31) return;
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}

__global__ void shuffle_beyond_mask(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xFFFFU, 1, 20);
}

__global__ void different_shuffles(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  }
}

__global__ void trap_in_thread_3(int* out) {
  out[threadIdx.x] = 1;
  if (threadIdx.x == 3) __trap();
}

__global__ void wait_for_grid(int* out, unsigned leaver) {
  if (blockIdx.x == leaver) return;
  cooperative_groups::this_grid().sync();
  out[threadIdx.x] = 1;
}

__global__ void wait_for_nobody(int* out) {
  cooperative_groups::this_grid().sync();
  out[threadIdx.x] = 1;
}

TEST_F(EmulatorTest, ABlockThatDoesNotComeToTheGridsBarrierEndsTheLaunch) {
  auto* out = zeros<int>(64);
  EXPECT_EQ(launch_cooperative(4, 64, wait_for_grid, out, 2U), cudaErrorLaunchFailure);
  expect_failure("wait_for_grid: block ");
  expect_failure("not all blocks");
  reset();
  out = zeros<int>(64);
  EXPECT_EQ(launch_cooperative(4, 64, wait_for_grid, out, 9U), cudaSuccess);
}

struct FailingKernel {
  const char* name;
  void (*kernel)(int*);
  const char* text;
};

class EmulatorFailureTest : public EmulatorTest, public testing::WithParamInterface<FailingKernel> {};

TEST_P(EmulatorFailureTest, EndsTheLaunchAndStaysUntilReset) {
  auto* out = zeros<int>(64);
  EXPECT_EQ(launch(nullptr, 3, 32, GetParam().kernel, out), cudaErrorLaunchFailure);
  expect_failure(std::string(GetParam().name) + ": block ");
  expect_failure(GetParam().text);
  expect_failure("emulator_failures_test.cpp");
  EXPECT_EQ(launch(nullptr, 1, 32, first_in_line, out), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "it sticks";
  EXPECT_EQ(cudaFree(out), cudaErrorLaunchFailure) << "freed all the same";
  EXPECT_EQ(holdings().total(), 0U);
  reset();
  out = zeros<int>(64);
  EXPECT_EQ(launch(nullptr, 1, 64, first_in_line, out), cudaSuccess);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, EmulatorFailureTest,
    testing::Values(
        FailingKernel{"leave_early", leave_early, "all threads of a block must come to a barrier"},
        FailingKernel{"part_at_barriers", part_at_barriers, "not the same barrier"},
        FailingKernel{"barrier_against_shuffle", barrier_against_shuffle, "threads wait for one another"},
        FailingKernel{"shuffle_with_gone_lane", shuffle_with_gone_lane, "lane"},
        FailingKernel{"shuffle_beyond_mask", shuffle_beyond_mask, "does not name lane 20"},
        FailingKernel{"different_shuffles", different_shuffles, "not the same operation"},
        FailingKernel{"wait_for_nobody", wait_for_nobody, "the launch is not cooperative"},
        FailingKernel{"trap_in_thread_3", trap_in_thread_3, "__trap()"}),
    [](const auto& info) { return std::string(info.param.name); });

__global__ void write_at(float* values, std::ptrdiff_t at) {
  values[at] = 1;
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(EmulatorTest, AWritePastABufferIsReportedAtItsLine) {
  auto* values = allocate<float>(10);
  for (const std::ptrdiff_t at : {10, 70, -1}) {
    EXPECT_DEATH(launch(nullptr, 1, 1, write_at, values, at), "use-after-poison(.|\\n)*write_at") << at;
  }
}

__global__ void write_shared_at(std::ptrdiff_t at) {
  __shared__ float kept[32];
  float* volatile hidden = kept;
  hidden[at] = 1;
}

TEST_F(EmulatorTest, AWritePastSharedMemoryIsReportedAtItsLine) {
  ASSERT_EQ(launch(nullptr, 1, 1, write_shared_at, std::ptrdiff_t{31}), cudaSuccess);
  EXPECT_DEATH(launch(nullptr, 1, 1, write_shared_at, std::ptrdiff_t{32}), "global-buffer-overflow");
}
#else
TEST_F(EmulatorTest, AWritePastABufferIsFoundAfterTheLaunch) {
  for (const std::ptrdiff_t at : {10, 70, -1}) {
    reset();
    auto* values = allocate<float>(10);
    EXPECT_EQ(launch(nullptr, 1, 1, write_at, values, at), cudaErrorIllegalAddress) << at;
    expect_failure("write_at: byte " + std::to_string(at * 4) + " of allocation ");
    expect_failure("of 40 bytes was written");
  }
}

TEST_F(EmulatorTest, AWildAddressEndsTheKernelNotTheProgram) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "faults are caught on x86-64 only";
#endif
  auto* values = allocate<float>(10);
  EXPECT_EQ(launch(nullptr, 1, 1, write_at, values, std::ptrdiff_t{1} << 20U), cudaErrorIllegalAddress);
  expect_failure("write_at: block 0: thread 0 touched ");
  reset();
  EXPECT_EQ(launch(nullptr, 1, 1, write_at, static_cast<float*>(nullptr), std::ptrdiff_t{0}),
            cudaErrorIllegalAddress);
  reset();
  values = allocate<float>(10);
  EXPECT_EQ(launch(nullptr, 1, 1, write_at, values, std::ptrdiff_t{9}), cudaSuccess) << "works on after that";
}
#endif

TEST_F(EmulatorTest, TheHostMustNotTouchDeviceMemory) {
  auto* values = zeros<float>(10);
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_DEATH(std::printf("%g", values[3]), "SEGV");
#else
  EXPECT_DEATH(std::printf("%g", values[3]), "the host touched device memory: byte 12 of allocation");
#endif
}

TEST_F(EmulatorTest, AKernelIsNotGivenHostMemory) {
  std::vector<float> host(32);
  EXPECT_EQ(launch(nullptr, 1, 32, add, host.data(), 1.0F), cudaErrorIllegalAddress);
  expect_failure("add: an argument points to memory of the host");
  reset();
  float* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 32 * sizeof(float)), cudaSuccess);
  EXPECT_EQ(launch(nullptr, 1, 32, add, pinned, 1.0F), cudaSuccess);
}

TEST_F(EmulatorTest, FreshMemoryIsNaNInEveryType) {
  auto* values = allocate<float>(5);
  for (const float value : read(values, 5)) EXPECT_TRUE(is_poison(value));
  EXPECT_TRUE(std::isnan(read(reinterpret_cast<double*>(values), 2)[1]));
  EXPECT_EQ(unwritten(values, 20), 5U);
  ASSERT_EQ(cudaMemset(values, 0, 8), cudaSuccess);
  EXPECT_EQ(unwritten(values, 20), 3U);
  ASSERT_EQ(launch(nullptr, 1, 5, add, values, 1.0F), cudaSuccess);
  EXPECT_EQ(read(values, 5)[0], 1.0F);
  EXPECT_TRUE(std::isnan(read(values, 5)[4])) << "a sum with what nobody wrote";
}

__global__ void read_shared(float* out) {
  __shared__ float kept[32];
  out[blockIdx.x] = kept[5];
  kept[5] = 1;
}

TEST_F(EmulatorTest, SharedMemoryIsPoisonedForEachBlock) {
  auto* out = zeros<float>(4);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(launch(nullptr, 4, 1, read_shared, out), cudaSuccess);
    for (const float value : read(out, 4)) EXPECT_TRUE(is_poison(value));
  }
}

__global__ void sum_without_barrier(float* sums) {
  __shared__ float parts[64];
  parts[threadIdx.x] = 1;
  if (threadIdx.x == 0) {
    float sum = 0;
    for (const float part : parts) sum += part;
    sums[blockIdx.x] = sum;
  }
}

TEST_F(EmulatorTest, AMissingBarrierIsSeenInTheResult) {
  order_by(0);
  auto* sums = allocate<float>(1);
  ASSERT_EQ(launch(nullptr, 1, 64, sum_without_barrier, sums), cudaSuccess);
  EXPECT_TRUE(std::isnan(read(sums, 1)[0]));
}

TEST_F(EmulatorTest, ImpossibleLaunchesAreRefused) {
  auto* out = allocate<int>(1);
  EXPECT_EQ(launch(nullptr, 0, 32, first_in_line, out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nullptr, 1, 1025, first_in_line, out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "this one does not stick";
}

TEST_F(EmulatorTest, CopiesKnowWhichSideIsTheDevice) {
  auto* device = allocate<float>(4);
  std::vector<float> host(8);
  EXPECT_EQ(cudaMemcpy(host.data(), device, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device, host.data(), 20, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  expect_failure("pass the end of its 16 bytes");
  EXPECT_EQ(cudaMemset(host.data(), 0, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(host.data()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue) << "freed twice";
}

}  // namespace
}  // namespace emulator
