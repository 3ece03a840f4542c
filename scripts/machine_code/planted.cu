// Kernels for check_machine_code.sh --self-test. Those named bad_* have marks that their machine code does
// not fulfil; a separate line above the mark has, after "wanted:", what the check must say about it.
#include <cstddef>

template <unsigned kBatch>
__device__ float batched(const float* x, unsigned first, unsigned end, unsigned stride) {
  float sum = 0;
  for (unsigned begin = first; begin < end; begin += kBatch * stride) {
    float loaded[kBatch];
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      const unsigned i = begin + k * stride;
      loaded[k] = x[i < end ? i : begin];
    }
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      if (begin + k * stride < end) sum += loaded[k];
    }
  }
  return sum;
}

__global__ void good_batch(const float* x, float* y, unsigned end, unsigned stride) {
  y[threadIdx.x] = batched<4>(x, threadIdx.x, end, stride);  // loads in a row: 4
}

__global__ void good_shared_batch(const float* x, float* y, unsigned end, unsigned stride) {
  __shared__ float memory[256];
  memory[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = batched<4>(memory, threadIdx.x, end, stride);  // shared loads in a row: 4
}

__global__ void bad_stride(const float* x, float* y, unsigned end, unsigned stride) {
  float sum = 0;
#pragma unroll 4
  // wanted: 1 loads in a row, 4 wanted
  for (unsigned i = threadIdx.x; i < end; i += stride) sum += x[i];  // loads in a row: 4
  y[threadIdx.x] = sum;
}

__global__ void bad_second_copy(const float* x, float* y, unsigned end, unsigned stride) {
  const auto sum = [&](unsigned first, unsigned step) {
    float total = 0;
#pragma unroll 4
    // wanted: 1 loads in a row, 4 wanted
    for (unsigned i = first; i < end; i += step) total += x[i];  // loads in a row: 4
    return total;
  };
  const float all = sum(0, 1);
  y[threadIdx.x] = all + sum(threadIdx.x, stride);
}

__global__ void bad_division(const float* x, float* y, std::size_t end, std::size_t by) {
  float sum = 0;
  // wanted: a division is a call of
  for (std::size_t i = threadIdx.x; i < end; i += blockDim.x) sum += x[i / by];  // loads in a row: 1
  y[threadIdx.x] = sum;
}

__global__ void bad_mark(const float* x, float* y) {
  // wanted: no loop here
  y[threadIdx.x] = x[threadIdx.x];  // loads in a row: 1
}

// wanted: no kernel has code of this line
//                                      loads in a row: 1

__global__ void __launch_bounds__(256) bad_spill(const float* x, float* y, unsigned end, unsigned at) {
  float own[64];
  // wanted: accesses to local memory
  for (unsigned i = 0; i < end; ++i) own[i % 64] = x[i];  // loads in a row: 1
  y[threadIdx.x] = own[at % 64];
}
