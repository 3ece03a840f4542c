// How tests control the emulated CUDA: they inject faults, emulate devices, count calls and look for leaks; and the
// stand-ins of the libraries.
#include <cstddef>
#include <cstdlib>
#include <cuda_bf16.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/library.hpp"
#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

TEST_F(EmulatorTest, TheNthCallFailsOnce) {
  fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  float* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(calls("cudaMalloc"), 3U);
  fail_call("cudaMalloc", 0, cudaErrorMemoryAllocation);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorMemoryAllocation);
}

TEST_F(EmulatorTest, TheNthKernelIsLostWithItsDevice) {
  cudaStream_t stream = make_stream();
  auto* values = zeros<float>(32);
  cudaGraphExec_t exec = capture(stream, [&] {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(launch(stream, 1, 32, add, values, 1.0F), cudaSuccess);
  });
  fail_launch(6, cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorECCUncorrectable);
  EXPECT_EQ(kernels_run(), 5U);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaErrorECCUncorrectable);
  EXPECT_EQ(holdings().execs, 0U);
}

TEST_F(EmulatorTest, BetweenTwoKernelsMemoryCanBeChangedOnce) {
  cudaStream_t stream = make_stream();
  auto* values = zeros<float>(32);
  call_after(2, [&] { values[3] = 100; });
  for (int i = 0; i < 4; ++i) EXPECT_EQ(launch(stream, 1, 32, add, values, 1.0F), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  const std::vector<float> after = read(values, 32);
  EXPECT_EQ(after[2], 4);
  EXPECT_EQ(after[3], 102);
}

TEST_F(EmulatorTest, TheEnvironmentPlantsFaultsAndHoldsWork) {
  setenv("TRAINER_EMULATOR_FAIL", "cudaMalloc:2:2,cudaGetDeviceCount:0:35", 1);
  setenv("TRAINER_EMULATOR_DEVICE", "k80", 1);
  reset();
  unsetenv("TRAINER_EMULATOR_FAIL");
  unsetenv("TRAINER_EMULATOR_DEVICE");
  float* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorMemoryAllocation);
  int value = 0;
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorInsufficientDriver);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrClockRate, 0), cudaSuccess);
  EXPECT_EQ(value, 823500);
}

TEST_F(EmulatorTest, ADeviceCanBePlayed) {
  Machine machine;
  machine.devices = {tesla_k80(), tesla_k80()};
  machine.devices[0].peers = {1};
  play(machine);
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "Tesla K80");
  EXPECT_EQ(properties.major * 10 + properties.minor, 37);
  EXPECT_EQ(properties.pciDomainID, 0x06C3);
  int clock = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, 0), cudaSuccess);
  EXPECT_EQ(clock, 823500);
  char bus[32] = {};
  ASSERT_EQ(cudaDeviceGetPCIBusId(bus, sizeof bus, 0), cudaSuccess);
  EXPECT_STREQ(bus, "06C3:00:00.0");
  int can = 0;
  ASSERT_EQ(cudaDeviceCanAccessPeer(&can, 0, 1), cudaSuccess);
  EXPECT_EQ(can, 1);
  ASSERT_EQ(cudaDeviceCanAccessPeer(&can, 1, 0), cudaSuccess);
  EXPECT_EQ(can, 0);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
}

TEST_F(EmulatorTest, AMachineWithoutDeviceSaysSoToEveryCall) {
  Machine machine;
  machine.device_error = cudaErrorInsufficientDriver;
  machine.driver_version = 0;
  play(machine);
  int count = 7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, 0);
  float* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorInsufficientDriver);
  EXPECT_EQ(cudaDriverGetVersion(&count), cudaSuccess);
  EXPECT_EQ(count, 0);
}

TEST_F(EmulatorTest, MemoryRunsOut) {
  Machine machine;
  machine.devices[0].free_bytes = 1 << 20U;
  play(machine);
  auto* half = allocate<char>(600 << 10U);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(free_bytes, std::size_t{424} << 10U);
  char* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 600 << 10U), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaFree(half), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, 600 << 10U), cudaSuccess) << "running out does not stick";
}

TEST_F(EmulatorTest, WhatIsHeldIsReported) {
  EXPECT_EQ(leak_report(), "");
  auto* values = allocate<float>(25);
  cudaStream_t stream = make_stream();
  cudaGraphExec_t exec =
      capture(stream, [&] { EXPECT_EQ(launch(stream, 1, 5, add, values, 1.0F), cudaSuccess); });
  const std::string report = leak_report();
  EXPECT_NE(report.find("100 bytes of device 0"), std::string::npos) << report;
  EXPECT_NE(report.find("1 streams"), std::string::npos) << report;
  EXPECT_NE(report.find("1 instantiated graphs"), std::string::npos) << report;
  EXPECT_EQ(cudaFree(values), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(leak_report(), "");
}

TEST_F(EmulatorTest, ALibraryCallIsWorkOfItsStream) {
  cudaStream_t stream = make_stream();
  auto* values = zeros<float>(4);
  cudaGraphExec_t exec = capture(stream, [&] {
    EXPECT_EQ(enqueue(stream, "library twice", [values] { values[1] = values[1] * 2 + 1; }), cudaSuccess);
  });
  EXPECT_EQ(kernels_in_last_graph(), 1U);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(read(values, 4)[1], 7.0F);
  EXPECT_EQ(library_calls_run(), 3U);
  fail_call("library twice", 1, cudaErrorNotSupported);
  EXPECT_EQ(enqueue(stream, "library twice", [] {}), cudaErrorNotSupported);
}

// A 3x3 filter of ones over a 3x3 map with a border: each output is the sum of its neighbourhood.
TEST_F(EmulatorTest, TheConvolutionsStandInAddsUpWindows) {
  auto library = trainer::cuda::open_convolutions({});
  trainer::cuda::LayerShape shape;
  shape.in = {3, 3, 1};
  shape.kernel = 3;
  shape.pad = {1, 1, 1, 1};
  auto convolution = library->make(shape);
  ASSERT_GT(convolution->workspace_bytes(), 0U);
  auto* x = upload<float>({1, 2, 3, 4, 5, 6, 7, 8, 9});
  auto* w = upload(std::vector<float>(9, 1));
  auto* y = allocate<float>(9);
  auto* dw = allocate<float>(9);
  auto* dx = allocate<float>(9);
  auto* workspace = allocate<std::byte>(convolution->workspace_bytes());
  convolution->forward(x, w, y, workspace);
  EXPECT_EQ(read(y, 9), (std::vector<float>{12, 21, 16, 27, 45, 33, 24, 39, 28}));
  convolution->backward_weights(x, w, dw, nullptr, workspace);
  EXPECT_EQ(read(dw, 9), read(y, 9)) << "with a gradient of ones, the same sums";
  convolution->backward_data(x, w, dx, workspace);
  EXPECT_EQ(read(dx, 9), read(y, 9)) << "and backwards too, the filter being symmetric";
  shape.kernel = 6;
  EXPECT_THROW(library->make(shape), trainer::BackendError);
}

TEST_F(EmulatorTest, TheProductsStandInRoundsItsInputsToThePrecision) {
  auto library = trainer::cuda::open_products(nullptr);
  trainer::cuda::LayerShape shape;
  shape.in = {1, 1, 2};
  shape.sums_dy = true;
  const float fine = 1 + 0x1p-10F;  // 1 in bfloat16
  const auto* x = upload<float>({fine, -3});
  const auto* w = upload<float>({fine, 2});
  auto* y = allocate<float>(1);
  auto* dw = allocate<float>(2);
  auto* db = allocate<float>(1);
  auto* workspace = allocate<std::byte>(library->make(shape)->workspace_bytes());
  library->make(shape)->forward(x, w, y, workspace);
  EXPECT_EQ(read(y, 1)[0], fine * fine - 6);
  shape.precision = trainer::Precision::tf32;
  const float finer = 1 + 0x1p-12F;  // 1 in tf32
  library->make(shape)->backward_weights(x, upload<float>({finer}), dw, db, workspace);
  EXPECT_EQ(read(dw, 2), (std::vector<float>{fine, -3}));
  EXPECT_EQ(read(db, 1)[0], finer) << "a sum is not a product";
  shape.precision = trainer::Precision::bf16;
  auto* short_y = allocate<__nv_bfloat16>(1);
  library->make(shape)->forward(upload<__nv_bfloat16>({fine, -3}), upload<__nv_bfloat16>({fine, 2}), short_y,
                                workspace);
  EXPECT_EQ(static_cast<float>(read(short_y, 1)[0]), 1.0F - 6);
  library->make(shape)->backward_weights(upload<__nv_bfloat16>({1, -3}), upload<__nv_bfloat16>({3}), dw, db,
                                         workspace);
  EXPECT_EQ(read(dw, 2), (std::vector<float>{3, -9}));
  EXPECT_EQ(read(db, 1)[0], 3);
  shape.batch = 0;
  EXPECT_THROW(library->make(shape), trainer::BackendError);
  shape.batch = 1;
  fail_call("product forward", 1, cudaErrorNotSupported);
  EXPECT_THROW(library->make(shape)->forward(x, w, y, workspace), trainer::BackendError);
}

}  // namespace
}  // namespace emulator
