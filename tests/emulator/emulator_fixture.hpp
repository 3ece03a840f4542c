// What the tests of the emulator share: an emulator that is reset around each test, and launch helpers.
#pragma once

#include <cuda_runtime.h>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/emulator/emulator.hpp"

namespace emulator {

constexpr unsigned kAll = 0xFFFFFFFFU;

template <typename... Parameters, typename... Arguments>
cudaError_t launch(cudaStream_t stream, unsigned blocks, unsigned threads, void (*kernel)(Parameters...),
                   Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// The same with blocks that can wait for one another.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_cooperative(unsigned blocks, unsigned threads, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  cudaLaunchAttribute together{};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.attrs = &together;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// A kernel that several tests launch.
inline __global__ void add(float* values, float amount) {
  values[blockIdx.x * blockDim.x + threadIdx.x] += amount;
}

// The lines of counts_text() that begin with `kind`, "call " or "run ", as name and number.
inline std::map<std::string, int> counted(const std::string& kind) {
  std::map<std::string, int> numbers;
  std::istringstream lines(counts_text());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.rfind(' ');
    if (line.starts_with(kind))
      numbers[line.substr(kind.size(), end - kind.size())] = std::stoi(line.substr(end));
  }
  return numbers;
}

class EmulatorTest : public testing::Test {
 protected:
  EmulatorTest() { reset(); }
  ~EmulatorTest() override { reset(); }

  template <typename T>
  T* allocate(std::size_t count) {
    T* pointer = nullptr;
    EXPECT_EQ(cudaMalloc(&pointer, count * sizeof(T)), cudaSuccess);
    return pointer;
  }

  template <typename T>
  T* zeros(std::size_t count) {
    T* pointer = allocate<T>(count);
    EXPECT_EQ(cudaMemset(pointer, 0, count * sizeof(T)), cudaSuccess);
    return pointer;
  }

  template <typename T>
  T* upload(const std::vector<T>& values) {
    T* pointer = allocate<T>(values.size());
    EXPECT_EQ(cudaMemcpy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
    return pointer;
  }

  template <typename T>
  std::vector<T> read(const T* device, std::size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  cudaStream_t make_stream() {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    return stream;
  }

  cudaGraphExec_t capture(cudaStream_t stream, const std::function<void()>& step) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    step();
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return exec;
  }

  void expect_failure(const std::string& part) {
    EXPECT_NE(failure().find(part), std::string::npos) << failure();
  }
};

}  // namespace emulator
