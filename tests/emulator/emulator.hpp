// What a test may ask of the emulated CUDA, and do to it: play other devices, make the Nth call fail, hold
// work back so that it is in flight, count calls, read what went wrong. One emulator a process; reset()
// between tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace emulator {

// A device to play.
struct Device {
  std::string name = "Emulated Device";
  int major = 9;
  int minor = 0;
  int clock_khz = 1'000'000;         // of the multiprocessors
  int memory_clock_khz = 2'000'000;  // of the memory
  int bus_width_bits = 256;
  int multiprocessors = 4;
  int resident_threads = 1024;  // of a multiprocessor at a time
  int resident_blocks = 32;
  int l2_bytes = 4 << 20;
  std::string pci_bus_id = "0000:0A:00.0";
  std::size_t total_bytes = std::size_t{4} << 30U;
  std::size_t free_bytes = std::size_t{4} << 30U;  // before the process has allocated anything
  bool ecc = false;
  int compute_mode = cudaComputeModeDefault;
  std::vector<int> peers;                 // devices whose memory it can reach
  std::string uuid = "emulated device0";  // 16 bytes
};

Device tesla_t4();   // 7.5
Device tesla_k80();  // of an Azure NC virtual machine, as of 2017

struct Machine {
  std::vector<Device> devices = {Device{}};
  // What every call that needs a device gives back: 35 no driver or too old, 100 no device, 802, 803, 804,
  // 999, ...
  cudaError_t device_error = cudaSuccess;
  int driver_version = 13000;
  int runtime_version = 13000;
};

// Everything as at the start of the process: memory, streams and graphs of the program are gone, counts are
// 0, no fault is planted, one plain device. The environment (README.md) is read again.
void reset();
void play(const Machine& machine);

// Faults. `nth` counts from 1 from now on; 0: every one.
void fail_call(std::string_view name, int nth,
               cudaError_t code);             // a call of the runtime or of a library, by name
void fail_launch(int nth, cudaError_t code);  // a kernel, while it runs: the device is lost from there on

// Whether launches, copies and graphs wait in their stream until somebody synchronises; each query lets one
// piece of work be done. Off: all is done at once.
void hold_work(bool on);
// Order of blocks and threads: 0 the natural one. Any other seed gives each launch another order.
void order_by(std::uint64_t seed);

// Since reset() or reset_counts().
void reset_counts();
std::uint64_t calls(std::string_view name);   // "cudaMalloc", "cudaGraphLaunch", "convolution forward", ...
std::uint64_t kernels_run();                  // of ours, graphs' included
std::uint64_t library_calls_run();            // of the stand-ins, graphs' included
std::uint64_t copies_to_host();               // of cudaMemcpyAsync
std::uint64_t runs(std::string_view kernel);  // of one kernel, by its name without namespaces and arguments
std::size_t kernels_in_last_graph();          // kernels and library calls of the graph instantiated last
std::string counts_text();                    // one line a name

// Kernels and library calls that a capture was the first to launch, by name: their code is loaded then, which
// drivers before CUDA 12.3 cannot. A kernel is loaded by a question about it too.
std::vector<std::string> loaded_in_capture();

// What the program still holds.
struct Holdings {
  std::size_t allocations = 0;
  std::size_t pinned = 0;
  std::size_t streams = 0;
  std::size_t events = 0;
  std::size_t graphs = 0;
  std::size_t execs = 0;
  std::size_t total() const { return allocations + pinned + streams + events + graphs + execs; }
};
Holdings holdings();
std::string leak_report();  // empty: nothing is held
std::size_t allocated_bytes(int device = 0);

// What went wrong last, in words; empty: nothing did. The code that goes with it is the runtime's.
std::string failure();

// Floats of device memory that nobody has written since it was allocated (they hold the poison).
std::size_t unwritten(const void* device, std::size_t bytes);
bool is_poison(float value);

// For the stand-ins of libraries: `run` is done on the stream as a kernel would be, may touch device memory,
// and is counted by `name`. Its code is that of `plan`, what the library has made ready, and `name`.
cudaError_t enqueue(cudaStream_t stream, std::string_view name, std::function<void()> run,
                    const void* plan = nullptr);
// A call of theirs that does nothing on the device: counted, and a fault can be planted in it.
cudaError_t library_call(std::string_view name);

}  // namespace emulator
