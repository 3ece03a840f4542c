// Capture and replay, calls that are forbidden in a capture, and work in flight, under the emulated CUDA.
#include <cstddef>

#include "tests/emulator/emulator_fixture.hpp"

namespace emulator {
namespace {

__global__ void leave_in_flight(int* out) {
  if (threadIdx.x == 7) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST_F(EmulatorTest, AReplayedGraphDoesWhatItsStepDid) {
  cudaStream_t stream = make_stream();
  auto* values = zeros<float>(64);
  cudaGraphExec_t exec = capture(stream, [&] {
    EXPECT_EQ(launch(stream, 2, 32, add, values, 1.0F), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(values, 0, 4, stream), cudaSuccess);
    EXPECT_EQ(launch(stream, 2, 32, add, values, 0.5F), cudaSuccess);
  });
  EXPECT_EQ(read(values, 64), std::vector<float>(64, 0)) << "a captured launch does nothing";
  EXPECT_EQ(kernels_in_last_graph(), 2U);
  reset_counts();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  std::vector<float> want(64, 4.5F);
  want[0] = 0.5F;
  EXPECT_EQ(read(values, 64), want);
  EXPECT_EQ(kernels_run(), 6U);
  EXPECT_EQ(runs("add"), 6U);
  EXPECT_EQ(calls("cudaGraphLaunch"), 3U);
  EXPECT_EQ(calls("cudaLaunchKernelEx"), 0U);
}

TEST_F(EmulatorTest, AGraphTakesChildrenAndSaysHowManyNodesItHas) {
  cudaStream_t stream = make_stream();
  auto* values = zeros<float>(32);
  cudaGraph_t step = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(launch(stream, 1, 32, add, values, 1.0F), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &step), cudaSuccess);
  cudaGraph_t many = nullptr;
  cudaGraphNode_t node = nullptr;
  ASSERT_EQ(cudaGraphCreate(&many, 0), cudaSuccess);
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(cudaGraphAddChildGraphNode(&node, many, nullptr, 0, step), cudaSuccess);
  }
  std::size_t nodes = 0;
  ASSERT_EQ(cudaGraphGetNodes(step, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 3U);
  ASSERT_EQ(cudaGraphGetNodes(many, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 4U);
  cudaGraphNodeType type{};
  ASSERT_EQ(cudaGraphNodeGetType(node, &type), cudaSuccess);
  EXPECT_EQ(type, cudaGraphNodeTypeGraph);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, many, 0), cudaSuccess);
  EXPECT_EQ(kernels_in_last_graph(), 12U);
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(read(values, 1)[0], 12.0F);
}

class EmulatorCaptureTest : public EmulatorTest {
 protected:
  // Makes the call in a new capture: the call is refused, and the capture is lost.
  void expect_forbidden(const char* name, const std::function<cudaError_t()>& forbidden) {
    SCOPED_TRACE(name);
    cudaGraph_t graph = nullptr;
    cudaStreamCaptureStatus status{};
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(forbidden(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(launch(stream_, 1, 32, add, values_, 1.0F), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  }

  cudaStream_t stream_ = make_stream();
  float* values_ = zeros<float>(32);
};

TEST_F(EmulatorCaptureTest, CallsThatWaitOrAllocateEndIt) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  float host = 0;
  float* more = nullptr;
  expect_forbidden("cudaMalloc", [&] { return cudaMalloc(&more, 4); });
  expect_forbidden("cudaMallocHost", [&] { return cudaMallocHost(&more, 4); });
  expect_forbidden("cudaFree", [&] { return cudaFree(values_); });
  expect_forbidden("cudaMemcpy", [&] { return cudaMemcpy(&host, values_, 4, cudaMemcpyDeviceToHost); });
  expect_forbidden("cudaMemset", [&] { return cudaMemset(values_, 0, 4); });
  expect_forbidden("cudaStreamSynchronize", [&] { return cudaStreamSynchronize(stream_); });
  expect_forbidden("cudaStreamQuery", [&] { return cudaStreamQuery(stream_); });
  expect_forbidden("cudaEventQuery", [&] { return cudaEventQuery(event); });
  expect_forbidden("cudaEventSynchronize", [&] { return cudaEventSynchronize(event); });
  expect_forbidden("cudaDeviceSynchronize", [&] { return cudaDeviceSynchronize(); });
  EXPECT_EQ(cudaMalloc(&more, 4), cudaSuccess) << "allowed again";
  EXPECT_EQ(cudaFree(values_), cudaSuccess) << "it was not freed";
}

TEST_F(EmulatorTest, HeldWorkIsInFlightUntilItIsAskedFor) {
  hold_work(true);
  cudaStream_t stream = make_stream();
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  auto* values = zeros<float>(32);
  ASSERT_EQ(launch(stream, 1, 32, add, values, 1.0F), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(kernels_run(), 0U);
  EXPECT_EQ(read(values, 1)[0], 0.0F) << "cudaMemcpy does not wait for a non-blocking stream";
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(kernels_run(), 1U) << "time goes by between two queries";
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  ASSERT_EQ(launch(stream, 1, 32, add, values, 1.0F), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(read(values, 1)[0], 2.0F);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "cudaErrorNotReady is no error";
}

TEST_F(EmulatorTest, AFailureOfHeldWorkComesWithTheWait) {
  hold_work(true);
  cudaStream_t stream = make_stream();
  auto* out = allocate<int>(32);
  EXPECT_EQ(launch(stream, 1, 32, leave_in_flight, out), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
}

}  // namespace
}  // namespace emulator
