// What trainer doctor knows before it judges: plain data, gathered once or played by a test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/nvml.hpp"
#include "trainer/store/environment.hpp"

namespace trainer::doctor {

struct GpuFacts {
  bool engine = false;             // this build has the GPU engine
  std::string architectures;       // that a build with the engine holds code for, as CMake writes them
  int device = 0;                  // the one that is asked for
  int devices = 0;                 // that this process sees
  std::optional<Failure> failure;  // why `device` cannot be used
  std::optional<GpuInfo> info;     // what the probe and NVML tell of `device`, where it answers
  std::optional<int> nvml;         // Nvml::start()
  GpuSurroundings around;
};

// A library that is loaded by its name at run time, so that nothing shows beforehand whether it is there.
struct LibraryPart {
  std::string name;     // "libcudnn_ops.so.9"
  std::string path;     // where the loader found it
  std::string version;  // "9.10.2" where the file's name says so
  std::string error;    // the loader's; empty where it was loaded
};

struct CudnnFacts {
  bool used = false;     // this program is linked with it
  bool crashed = false;  // the process that loaded the parts died of it, and nothing else is known of them
  std::string version;   // its own
  std::vector<LibraryPart> parts;
  std::vector<std::string> mixed;  // version checks of parts that say to be of another version
};

struct CublasFacts {
  std::vector<LibraryPart>
      loaded;            // every cuBLASLt of this process; none: the program takes none, or see error
  std::string version;   // what the first of them says it is; empty: it does not tell
  int cuda_version = 0;  // that it was made for: 13000; 0: it does not tell
  std::string error;     // why the one that this program takes cannot be loaded
};

struct FilesFacts {
  std::string data_path;
  std::string data_text;   // "60,000 + 10,000 images of 28x28, 10 classes"
  std::string data_error;  // complete line; empty where the data set is whole
  std::string runs_path;
  std::string runs_error;
  std::uint64_t runs_free_bytes = 0;
};

// A measurement that takes a second: what a device does, and what it should do.
struct SpeedFacts {
  bool gpu = false;
  std::string precision;       // that the products were computed in
  double flops = 0;            // per second
  double flops_expected = 0;   // 0: unknown
  double memory_bytes = 0;     // per second, read and written
  double memory_expected = 0;  // 0: unknown
  double upload_bytes = 0;     // per second, from ordinary host memory; 0: not measured
  double download_bytes = 0;
  int sm_clock_peak_mhz = 0;
  GpuSensors sensors;          // under load
  std::optional<double> load;  // how busy the processors were before, 0 to 1; measured with a CPU
  struct Peer {
    int device = 0;
    double bytes = 0;  // per second
  };
  std::vector<Peer> peers;  // copies to the other GPUs
};

struct Facts {
  bool require_gpu = false;
  bool asks_for_cpu = false;  // --device cpu
  std::string program;        // "trainer 0.1.0 abc"
  GpuFacts gpu;
  CudnnFacts cudnn;
  CublasFacts cublas;
  CpuInfo cpu;
  bool cpu_bf16 = false;
  FilesFacts files;
  std::optional<SpeedFacts> speed;
  std::string speed_error;  // why the measurement failed
};

struct Questions {
  std::string device = "auto";  // or cpu, cuda, cuda:N
  std::string data;             // --data; empty: TRAINER_DATA or the shipped MNIST
  bool require_gpu = false;
  bool quick = false;  // without the test of a second
};

// The facts of this machine, each asked for once. Throws UsageError for a device that is none of these.
Facts gather(const Environment& environment, const Questions& questions, const GpuProbe& probe,
             const Nvml& nvml);

// Opens the context of the GPU where that works.
GpuFacts gather_gpu(const GpuProbe& probe, const Nvml& nvml, int device);

// The test of a second: a product and a copy at the device's own size, measured through the ops that training uses, beside what the
// device should do (trainer/device/device_limits.hpp). `device`: "cpu" or "cuda:N". Throws BackendError where the device fails.
SpeedFacts measure_speed(const std::string& device, const Nvml& nvml);

// The parts of cuDNN, which are loaded by name at the first use: found out beforehand, in a child process, so that parts which do
// not go together end that one. `used` is false in a program that is not linked with cuDNN 9.
CudnnFacts look_at_cudnn();

struct LoadOrder {
  std::vector<std::string> names;  // the libraries
  std::string folder;              // where one is also looked for; empty: only where the loader looks
  std::vector<std::string> version_checks;  // functions of them, "int f()", that give 0 where versions agree
};
// Fills in parts, mixed and crashed.
CudnnFacts load_apart(const LoadOrder& order);

// What the loader finds for a program that takes cuBLASLt of CUDA `wanted` (13); 0: it takes none.
CublasFacts look_at_cublas(int wanted);

}  // namespace trainer::doctor
