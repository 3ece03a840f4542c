// How tests control and query the emulated CUDA: they emulate other devices, make the Nth call fail, hold work back so
// that it stays in flight, count calls, read what went wrong. There is one emulator per process; call reset() between
// tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace emulator {

// A device to emulate.
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
  std::size_t free_bytes = std::size_t{4} << 30U;  // before the process has allocated any memory
  bool ecc = false;
  int compute_mode = cudaComputeModeDefault;
  std::vector<int> peers;                 // devices whose memory it can access
  std::string uuid = "emulated device0";  // 16 bytes
};

Device tesla_t4();   // 7.5
Device tesla_k80();  // of an Azure NC virtual machine, as of 2017

struct Machine {
  std::vector<Device> devices = {Device{}};
  // Returned by every call that needs a device: 35 (no driver or too old), 100 (no device), 802, 803, 804, 999, ...
  cudaError_t device_error = cudaSuccess;
  int driver_version = 13000;
  int runtime_version = 13000;
};

// Restores the state at the start of the process: memory, streams and graphs of the program are gone, counts are 0, no
// fault is injected, there is one plain device. The environment (README.md) is read again.
void reset();
void play(const Machine& machine);

// Inject faults. `nth` counts from 1, starting now; 0: every one.
void fail_call(std::string_view name, int nth,
               cudaError_t code);             // a call of the runtime or of a library, by name
void fail_launch(int nth, cudaError_t code);  // a kernel, while it runs: the device is then lost
// Calls `what` once, right after the `nth` kernel or library call from now on; device memory is accessible to it.
void call_after(std::uint64_t nth, std::function<void()> what);

// Whether launches, copies and graphs wait in their stream until the program synchronises; each query lets one piece of
// work run. Off: everything runs at once.
void hold_work(bool on);
// Order of blocks and threads: 0 means the natural one; any other seed gives each launch a different order.
void order_by(std::uint64_t seed);

// Counts since reset() or reset_counts().
void reset_counts();
std::uint64_t calls(std::string_view name);   // "cudaMalloc", "cudaGraphLaunch", "convolution forward", ...
std::uint64_t kernels_run();                  // our own, including those in graphs
std::uint64_t library_calls_run();            // of the stand-ins, including those in graphs
std::uint64_t copies_to_host();               // of cudaMemcpyAsync
std::uint64_t runs(std::string_view kernel);  // of one kernel, named without namespaces and arguments
std::size_t kernels_in_last_graph();          // kernels and library calls of the graph instantiated last
std::string counts_text();                    // one line for each name

// Names of kernels and library calls that were first launched in a capture: their code is loaded then, which drivers
// before CUDA 12.3 cannot do. A query about a kernel loads it too.
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

// The latest failure as text; empty: none. The runtime returns the code that goes with it.
std::string failure();

// The number of floats in device memory that were not written since allocation (they hold the poison).
std::size_t unwritten(const void* device, std::size_t bytes);
bool is_poison(float value);

// For the stand-ins of libraries: `run` runs on the stream as a kernel would, may access device memory, and is counted
// by `name`. Its code is identified by `plan`, which the library has prepared, and `name`.
cudaError_t enqueue(cudaStream_t stream, std::string_view name, std::function<void()> run,
                    const void* plan = nullptr);
// A call of theirs that does nothing on the device: it is counted, and a fault can be injected into it.
cudaError_t library_call(std::string_view name);

}  // namespace emulator
