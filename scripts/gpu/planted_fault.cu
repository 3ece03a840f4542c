// Deliberate faults, one for each tool of compute-sanitizer: a tool that does not report its own fault is not
// trusted when it reports none elsewhere. With "none" the program is correct, and a tool must say so.
//   nvcc -o planted_fault planted_fault.cu && compute-sanitizer --tool racecheck ./planted_fault racecheck
// Exit code 3 means that there is no device or that it refuses the kernel.
#include <cstdio>
#include <cstring>

// The namespace by which the checks of the real kernels filter.
namespace trainer::planted {

constexpr int kThreads = 64;

__global__ void correct(float* y) {
  y[threadIdx.x] = static_cast<float>(threadIdx.x);
}

// memcheck: writes past the end of the allocation.
__global__ void write_past_the_end(float* y) {
  y[threadIdx.x + kThreads] = 1;
}

// racecheck: reads what a thread of another warp writes, without a barrier between.
__global__ void race(float* y) {
  __shared__ float values[kThreads];
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  y[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// initcheck: reads uninitialised memory.
__global__ void read_unwritten(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x] + 1;
}

// synccheck: part of a warp waits at a barrier of the block that the rest of the warp skips.
__global__ void divergent_barrier(float* y) {
  if (threadIdx.x < kThreads / 2 + 8) {
    y[threadIdx.x] = 1;
    __syncthreads();
  }
}

int run(const char* fault) {
  float* x = nullptr;
  float* y = nullptr;
  if (cudaMalloc(&x, kThreads * sizeof(float)) != cudaSuccess) return 3;
  if (cudaMalloc(&y, kThreads * sizeof(float)) != cudaSuccess) return 3;
  if (std::strcmp(fault, "none") == 0) correct<<<1, kThreads>>>(y);
  if (std::strcmp(fault, "memcheck") == 0) write_past_the_end<<<1, kThreads>>>(y);
  if (std::strcmp(fault, "racecheck") == 0) race<<<1, kThreads>>>(y);
  if (std::strcmp(fault, "initcheck") == 0) read_unwritten<<<1, kThreads>>>(x, y);
  if (std::strcmp(fault, "synccheck") == 0) divergent_barrier<<<1, kThreads>>>(y);
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) std::printf("%s: %s\n", fault, cudaGetErrorString(error));
  cudaFree(x);
  cudaFree(y);
  return error == cudaSuccess ? 0 : 3;
}

}  // namespace trainer::planted

int main(int argc, char** argv) {
  if (argc == 2) return trainer::planted::run(argv[1]);
  std::printf("usage: planted_fault none|memcheck|racecheck|initcheck|synccheck\n");
  return 2;
}
