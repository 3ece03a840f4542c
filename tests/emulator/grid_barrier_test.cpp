// The barrier of cooperative launches (kernels/cuda/device_code/grid_barrier.cuh) in the emulator, which runs its
// counting but waits in its own way: one word serves successive launches with any number of blocks.
#include "kernels/cuda/device_code/grid_barrier.cuh"

#include <numeric>

#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

constexpr unsigned kThreads = 64;
constexpr int kRounds = 3;

// In each round a block adds its right neighbour's number from the previous round to its own.
__global__ void add_neighbours(unsigned* numbers, unsigned* barrier) {
  for (int i = 0; i < kRounds; ++i) {
    const unsigned right = numbers[(blockIdx.x + 1) % gridDim.x];
    trainer::cuda::wait_for_grid(barrier);
    if (threadIdx.x == 0) numbers[blockIdx.x] += right;
    trainer::cuda::wait_for_grid(barrier);
  }
}

__global__ void leave_a_block_out(unsigned* barrier, unsigned leaver) {
  if (blockIdx.x != leaver) trainer::cuda::wait_for_grid(barrier);
}

class GridBarrier : public EmulatorTest {
 protected:
  unsigned* barrier_ = zeros<unsigned>(1);

  void expect_neighbours_added(unsigned blocks) {
    std::vector<unsigned> want(blocks);
    std::iota(want.begin(), want.end(), 1U);
    unsigned* numbers = upload(want);
    for (int i = 0; i < kRounds; ++i) {
      const std::vector<unsigned> before = want;
      for (unsigned b = 0; b < blocks; ++b) want[b] += before[(b + 1) % blocks];
    }
    ASSERT_EQ(launch_cooperative(blocks, kThreads, add_neighbours, numbers, barrier_), cudaSuccess);
    EXPECT_EQ(read(numbers, blocks), want);
  }
};

TEST_F(GridBarrier, ServesLaunchesOfAnyNumberOfBlocksInTurn) {
  for (const unsigned blocks : {4U, 1U, 31U, 2U, 31U, 3U}) {
    SCOPED_TRACE(blocks);
    expect_neighbours_added(blocks);
    EXPECT_EQ(read(barrier_, 1)[0] % 0x80000000U, 0U) << "of two barriers a round, the bit comes back";
  }
}

TEST_F(GridBarrier, IsNotTakenInByTheStateThatItsUpperBitIsIn) {
  barrier_ = upload(std::vector<unsigned>{0x80000000U});
  expect_neighbours_added(5);
}

TEST_F(GridBarrier, ARefusedLaunchLeavesItAsItWas) {
  auto* numbers = zeros<unsigned>(100);
  EXPECT_EQ(launch_cooperative(65, kThreads, add_neighbours, numbers, barrier_),
            cudaErrorCooperativeLaunchTooLarge);
  expect_neighbours_added(4);
}

TEST_F(GridBarrier, ABlockThatDoesNotComeEndsTheLaunch) {
  EXPECT_EQ(launch_cooperative(4, kThreads, leave_a_block_out, barrier_, 2U), cudaErrorLaunchFailure);
  expect_failure("not all blocks");
}

TEST_F(GridBarrier, AWordThatIsNotItsOwnEndsTheLaunch) {
  barrier_ = upload(std::vector<unsigned>{3});
  auto* numbers = zeros<unsigned>(4);
  EXPECT_EQ(launch_cooperative(4, kThreads, add_neighbours, numbers, barrier_), cudaErrorLaunchFailure);
  expect_failure("the grid's barrier is shut");
}

}  // namespace
}  // namespace emulator
