// The kernels of first_contact.cu: dependent loads, the smallest kernel of a chain, and three
// ways in which blocks wait for one another. Features that architectures below 9.0 lack are left out there.
#pragma once

#include <cooperative_groups.h>
#include <nv/target>

namespace trainer::first_contact {

namespace groups = cooperative_groups;

constexpr unsigned kWaits = 1000;  // grid barriers, one after another

struct Times {
  long long cycles;
  unsigned long long nanoseconds;
};

__device__ unsigned long long nanoseconds_now() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

// Reads `loads` elements, each addressed by the previous one, starting where the previous launch ended.
__global__ void chase(const unsigned* next, unsigned loads, Times* times, unsigned* place) {
  unsigned at = *place;
  for (unsigned i = 0; i < 64; ++i) at = __ldcg(next + at);
  const Times begin{clock64(), nanoseconds_now()};
  for (unsigned i = 0; i < loads; ++i) at = __ldcg(next + at);
  *times = {clock64() - begin.cycles, nanoseconds_now() - begin.nanoseconds};
  *place = at;
}

__global__ void add_one(float* x) {
  x[blockIdx.x * blockDim.x + threadIdx.x] += 1;
}

// Lets the next kernel start at once, which is the most that a programmatic launch can hide.
__global__ void add_one_programmatically(float* x) {
  NV_IF_TARGET(NV_PROVIDES_SM_90,
               (cudaTriggerProgrammaticLaunchCompletion(); cudaGridDependencySynchronize();))
  x[blockIdx.x * blockDim.x + threadIdx.x] += 1;
}

// Launched once, inside a capture, so that its code is loaded there.
__global__ void load_in_capture(float* x) {
  x[threadIdx.x] *= 2;
}

template <typename Wait>
__device__ void time_waits(Times* times, Wait wait) {
  wait(0U);
  const Times begin{clock64(), nanoseconds_now()};
  for (unsigned i = 1; i <= kWaits; ++i) wait(i);
  if (blockIdx.x == 0 && threadIdx.x == 0)
    *times = {clock64() - begin.cycles, nanoseconds_now() - begin.nanoseconds};
}

__global__ void __launch_bounds__(512, 1) wait_for_grid(Times* times) {
  const auto grid = groups::this_grid();
  time_waits(times, [&](unsigned) { grid.sync(); });
}

// One counter that only grows: each block does one atomic operation, then one thread polls without ordering
// and a fence follows, so that a waiting block does not invalidate its multiprocessor's L1 at every poll, as
// grid.sync() does.
__global__ void __launch_bounds__(512, 1) wait_by_hand(Times* times, unsigned* count) {
  time_waits(times, [&](unsigned turn) {
    const unsigned target = gridDim.x * (turn + 1);
    __syncthreads();
    if (threadIdx.x == 0) {
      unsigned seen;
      asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
      do {
        asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(count) : "memory");
      } while (seen < target);
      asm volatile("fence.acq_rel.gpu;" ::: "memory");
    }
    __syncthreads();
  });
}

__global__ void __launch_bounds__(512, 1) wait_for_cluster(Times* times) {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (const auto cluster = groups::this_cluster();
                                   time_waits(times, [&](unsigned) { cluster.sync(); });))
}

}  // namespace trainer::first_contact
