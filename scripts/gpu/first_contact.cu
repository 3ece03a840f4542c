// Measures on the device, in a few seconds, what the predicted times of the recorded steps rest on: the
// latency of a load, the cost of a graph node (plain, cooperative, programmatic), the cost of a barrier over the
// whole grid (cooperative groups, a hand-written barrier, a cluster), and whether a kernel may be loaded inside
// a capture.
//   nvcc -std=c++20 -O3 -arch=sm_90 -I. -o first_contact scripts/gpu/first_contact.cu
//   ./first_contact [--json]
// A figure that the device refuses is reported with CUDA's error, and the others continue. Clusters and
// programmatic launches need compute capability 9.0.
// Exit code: 0, 3 if no figure could be measured, 2 for wrong usage.
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "scripts/gpu/first_contact_kernels.cuh"

namespace trainer::first_contact {

constexpr int kNodes = 200;  // in a graph
constexpr unsigned kLoads = 20000;

void require(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(error));
}

// Cleared device memory.
template <typename T>
class Array {
 public:
  explicit Array(std::size_t count) {
    require(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
    require(cudaMemset(data_, 0, count * sizeof(T)), "cudaMemset");
    require(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // before what runs on another stream
  }
  ~Array() { cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* data() const { return data_; }
  T first() const {
    T value;
    require(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    require(cudaMemcpy(&value, data_, sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return value;
  }

 private:
  T* data_ = nullptr;
};

struct Launch {
  unsigned blocks = 1, threads = 32;
  bool cooperative = false, programmatic = false;
  unsigned cluster = 0;  // blocks of one; 0: none
};

template <typename... Parameters, typename... Arguments>
cudaError_t launch(cudaStream_t stream, const Launch& how, void (*kernel)(Parameters...),
                   Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(how.blocks);
  config.blockDim = dim3(how.threads);
  config.stream = stream;
  cudaLaunchAttribute attributes[3]{};
  if (how.cooperative) {
    attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attributes[config.numAttrs++].val.cooperative = 1;
  }
  if (how.programmatic) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (how.cluster > 0) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {how.cluster, 1, 1};
  }
  config.attrs = attributes;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// A launchable graph of what `record` queues; it is never destroyed, since the program ends soon.
cudaGraphExec_t recorded(cudaStream_t stream, const std::function<cudaError_t()>& record) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  const cudaError_t queued = record();
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  require(queued, "a launch inside the capture");
  require(ended, "cudaStreamEndCapture");
  require(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  return executable;
}

struct Figure {
  std::string name;
  const char* unit;
  double value;
  std::string error;  // instead of the value
};

class Figures {
 public:
  void measure(const std::string& name, const char* unit, const std::function<double()>& value) {
    try {
      figures_.push_back({name, unit, value(), ""});
    } catch (const std::runtime_error& error) {
      figures_.push_back({name, unit, 0, error.what()});
    }
  }

  int print(bool json) const {
    int status = 3;
    const char* between = "{\"figures\": [";
    for (const Figure& figure : figures_) {
      const bool good = figure.error.empty();
      if (good) status = 0;
      char value[32];
      std::snprintf(value, sizeof(value), json ? "%.4f" : "%10.2f", figure.value);
      if (json)
        std::printf("%s{\"name\": \"%s\", \"unit\": \"%s\", \"%s\": %s%s%s}", between, figure.name.c_str(),
                    figure.unit, good ? "value" : "error", good ? value : "\"", figure.error.c_str(),
                    good ? "" : "\"");
      else
        std::printf("%-60s %s %s\n", figure.name.c_str(), good ? value : figure.error.c_str(), figure.unit);
      between = ", ";
    }
    if (json) std::printf("]}\n");
    return status;
  }

 private:
  std::vector<Figure> figures_;
};

// 8 launches of 20,064 loads cover the first two sizes at least once (8,192 and 131,072 lines of 128
// bytes) but never return to a line of the third (2,097,152), so that it is not read from the L2.
Times load_times(std::size_t kibibytes) {
  constexpr std::size_t kStride = 1056;
  std::vector<unsigned> next(kibibytes * 256);
  for (std::size_t i = 0; i < next.size(); ++i) next[i] = static_cast<unsigned>((i + kStride) % next.size());
  const Array<unsigned> there(next.size()), place(1);
  const Array<Times> times(1);
  require(cudaMemcpy(there.data(), next.data(), next.size() * sizeof(unsigned), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  for (int turn = 0; turn < 8; ++turn) chase<<<1, 1>>>(there.data(), kLoads, times.data(), place.data());
  require(cudaGetLastError(), "chase");
  return times.first();
}

// Microseconds of one node: the best of 20 launches of a chain of them.
double node_microseconds(cudaStream_t stream, const Launch& how) {
  const Array<float> x(std::size_t{how.blocks} * how.threads);
  const auto executable = recorded(stream, [&] {
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < kNodes && error == cudaSuccess; ++i)
      error = launch(stream, how, how.programmatic ? add_one_programmatically : add_one, x.data());
    return error;
  });
  cudaEvent_t start, stop;
  require(cudaEventCreate(&start), "cudaEventCreate");
  require(cudaEventCreate(&stop), "cudaEventCreate");
  float best = 1e9F, milliseconds = 0;
  for (int turn = 0; turn < 20; ++turn) {
    require(cudaEventRecord(start, stream), "cudaEventRecord");
    require(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    require(cudaEventRecord(stop, stream), "cudaEventRecord");
    require(cudaEventSynchronize(stop), "cudaEventSynchronize");
    require(cudaEventElapsedTime(&milliseconds, start, stop), "cudaEventElapsedTime");
    best = milliseconds < best ? milliseconds : best;
  }
  return 1e3 * best / kNodes;
}

template <typename... Parameters, typename... Arguments>
double wait_microseconds(cudaStream_t stream, const Launch& how, void (*kernel)(Times*, Parameters...),
                         Arguments... arguments) {
  const Array<Times> times(1);
  require(launch(stream, how, kernel, times.data(), arguments...), "the launch");
  return 1e-3 * static_cast<double>(times.first().nanoseconds) / kWaits;
}

void measure_waits(Figures& figures, cudaStream_t stream, unsigned processors, bool clusters) {
  for (const unsigned threads : {256U, 512U}) {
    const Launch all{threads == 256 ? 2 * processors : processors, threads, true};
    const std::string grid = ", " + std::to_string(all.blocks) + " blocks of " + std::to_string(threads);
    figures.measure("grid.sync()" + grid, "us",
                    [&] { return wait_microseconds(stream, all, wait_for_grid); });
    figures.measure("barrier by hand" + grid, "us", [&] {
      const Array<unsigned> count(1);
      return wait_microseconds(stream, all, wait_by_hand, count.data());
    });
  }
  for (const unsigned size : {8U, 16U}) {
    figures.measure("cluster of " + std::to_string(size) + " blocks of 512", "us", [&] {
      if (!clusters) throw std::runtime_error("compute capability below 9.0");
      const auto larger = cudaFuncAttributeNonPortableClusterSizeAllowed;
      if (size > 8) require(cudaFuncSetAttribute(wait_for_cluster, larger, 1), "cudaFuncSetAttribute");
      return wait_microseconds(stream, {size, 512, false, false, size}, wait_for_cluster);
    });
  }
}

void measure_nodes(Figures& figures, cudaStream_t stream, unsigned processors) {
  for (const bool programmatic : {false, true}) {
    for (const bool cooperative : {false, true}) {
      const char* kind = programmatic ? (cooperative ? "cooperative and programmatic" : "programmatic")
                                      : (cooperative ? "cooperative" : "plain");
      figures.measure(std::string("node of a graph, ") + kind, "us", [&] {
        return node_microseconds(stream, {processors, 256, cooperative, programmatic});
      });
    }
  }
}

void measure_loads(Figures& figures) {
  for (const std::size_t kibibytes : {1024U, 16384U, 262144U}) {
    figures.measure("load that waits for the one before, of " + std::to_string(kibibytes) + " KiB", "cycles",
                    [&] { return static_cast<double>(load_times(kibibytes).cycles) / kLoads; });
  }
  figures.measure("SM clock during the loads", "GHz", [] {
    const Times times = load_times(1024);
    return static_cast<double>(times.cycles) / static_cast<double>(times.nanoseconds);
  });
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  require(cudaDeviceGetAttribute(&value, which, 0), "cudaDeviceGetAttribute");
  return value;
}

int run(bool json) {
  Figures figures;
  cudaStream_t stream = nullptr;
  unsigned processors = 0;
  bool has_clusters = false;
  figures.measure("multiprocessors", "", [&] {
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    has_clusters = attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
    return processors = static_cast<unsigned>(attribute(cudaDevAttrMultiProcessorCount));
  });
  if (processors == 0) return figures.print(json);
  figures.measure("peak SM clock", "GHz", [] { return 1e-6 * attribute(cudaDevAttrClockRate); });
  figures.measure("first launch of a kernel inside a capture (0: it works)", "", [&] {
    const Array<float> x(32);
    recorded(stream, [&] { return launch(stream, {}, load_in_capture, x.data()); });
    return 0;
  });
  measure_nodes(figures, stream, processors);
  measure_waits(figures, stream, processors, has_clusters);
  measure_loads(figures);
  return figures.print(json);
}

}  // namespace trainer::first_contact

int main(int argc, char** argv) {
  const bool json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc == 1 || json) return trainer::first_contact::run(json);
  std::printf("usage: first_contact [--json]\n");
  return 2;
}
