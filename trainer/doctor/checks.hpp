// What trainer doctor knows before it judges, plain data, gathered once or made up by a test, and how it judges: pure functions of the
// facts, so that a test can play any machine.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/nvml.hpp"
#include "trainer/console/check.hpp"
#include "trainer/store/environment.hpp"

namespace trainer::doctor {

struct GpuFacts {
  bool engine = false;             // this build has the GPU engine
  std::string architectures;       // that this build has code for, as CMake writes them
  int device = 0;                  // the requested one
  int devices = 0;                 // how many this process sees
  int installed = 0;               // how many NVML reports, seen or not; without NVML, those seen
  std::optional<Failure> failure;  // why `device` cannot be used
  std::optional<GpuInfo> info;     // what the probe and NVML report on `device`, if it answers
  std::optional<int> nvml;         // the result of Nvml::start()
  GpuSurroundings around;
};

// A library that is loaded by name at run time, so that nothing shows beforehand whether it exists.
struct LibraryPart {
  std::string name;     // "libcudnn_ops.so.9"
  std::string path;     // where the loader found it
  std::string version;  // "9.10.2" if the file's name tells it
  std::string error;    // the loader's; empty if it was loaded
};

struct CudnnFacts {
  bool used = false;     // this program is linked with it
  bool crashed = false;  // loading the parts killed the child process; nothing else is known about them
  std::string version;   // as cuDNN reports it
  std::vector<LibraryPart> parts;
  std::vector<std::string> mixed;  // version checks that found parts of another version
};

struct CublasFacts {
  std::vector<LibraryPart>
      loaded;            // every cuBLASLt in this process; empty: the program needs none, or see `error`
  std::string version;   // as the first of them reports it; empty: unknown
  int cuda_version = 0;  // the one that it was built for: 13000; 0: unknown
  std::string error;     // why the one that this program needs cannot be loaded
};

// What a training on several devices needs, each as its version and path; empty where there is none.
struct ClusterFacts {
  std::string mpi;  // each that the loader finds: "Open MPI v4.1.4, /usr/lib/libmpi.so.40.30.4; ..."
  std::string nccl;
};

struct FilesFacts {
  std::string data_path;
  std::string data_text;   // "60,000 + 10,000 images of 28x28, 10 classes"
  std::string data_error;  // a complete line; empty if the data set is whole
  std::string runs_path;
  std::string runs_error;
  std::uint64_t runs_free_bytes = 0;
};

// A measurement that takes a second: what a device achieves, and what it should achieve.
struct SpeedFacts {
  bool gpu = false;
  std::string precision;       // in which the products were measured
  double flops = 0;            // per second
  double flops_expected = 0;   // 0: unknown
  double memory_bytes = 0;     // per second, read and written
  double memory_expected = 0;  // 0: unknown
  double upload_bytes = 0;     // per second, from ordinary host memory; 0: not measured
  double download_bytes = 0;
  int sm_clock_peak_mhz = 0;
  GpuSensors sensors;          // under load
  std::optional<double> load;  // how busy the processors were before, 0 to 1; for a CPU only
  struct Peer {
    int device = 0;
    double bytes = 0;  // per second
  };
  std::vector<Peer> peers;  // copies to the other GPUs
};

struct Facts {
  bool require_gpu = false;
  int least_gpus = 0;         // that the machine should have
  bool asks_for_cpu = false;  // --device cpu
  std::string program;        // "trainer 0.1.0 abc"
  GpuFacts gpu;
  CudnnFacts cudnn;
  CublasFacts cublas;
  ClusterFacts cluster;
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
  bool quick = false;  // skips the speed test
  int least_gpus = 0;
  // Is told the check whose facts are gathered next, and those gathered so far.
  std::function<void(const char* check, const Facts& facts)> begins = [](const char*, const Facts&) {};
};

// Gathers the facts of this machine, each once. Throws UsageError for an unknown device.
Facts gather(const Environment& environment, const Questions& questions, const GpuProbe& probe,
             const Nvml& nvml);

// Opens a context on the GPU if that works.
GpuFacts gather_gpu(const GpuProbe& probe, const Nvml& nvml, int device);

// The speed test, about a second long: a product and a copy sized for the device, measured with the ops that training uses, and
// their limits (trainer/device/device_limits.hpp). `device`: "cpu" or "cuda:N". Throws BackendError if the device fails.
SpeedFacts measure_speed(const std::string& device, const Nvml& nvml);

// Loads the parts of cuDNN, which cuDNN would load by name at its first use, in a child process, so that mismatched parts crash
// only that process. `used` is false in a program that is not linked with cuDNN 9.
CudnnFacts look_at_cudnn();

struct LoadOrder {
  std::vector<std::string> names;           // the libraries
  std::string folder;                       // searched too; empty: only where the loader searches
  std::vector<std::string> version_checks;  // their functions "int f()" that return 0 if versions agree
};
// Fills in parts, mixed and crashed.
CudnnFacts load_apart(const LoadOrder& order);

// What the loader finds for a program that needs cuBLASLt of CUDA `wanted` (13; 0 if it needs none).
CublasFacts look_at_cublas(int wanted);

// Loads each library in a child process of its own, since two of MPI do not get along; starts neither MPI nor CUDA.
ClusterFacts look_at_cluster();

// Whether the machine shows a GPU, whatever is wrong with it. A machine that shows none is healthy without one.
bool shows_gpu(const GpuFacts& gpu);

// Whether training would run on the GPU.
bool trains_on_gpu(const Facts& facts);

// How a measured speed is judged: its text, the reasons why it may be low, from the sensors' readings under load ("power cap 300
// W (made for 700 W)"; empty if none is known), and whether a GPU falls short of its class.
std::string speed_text(const SpeedFacts& speed);
std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed);
bool falls_short(const SpeedFacts& speed);

std::string cores_text(const CpuInfo& cpu);  // "2 cores"

// Every check of the list, with those that could not or need not be run.
std::vector<Check> check_all(const Facts& facts);

// Appends the checks of the list that are not among `checks`, each with the reason.
void add_left_out(const Facts& facts, std::vector<Check>* checks);

// One line: what runs where and what was looked at for that, or how many problems there are.
std::string verdict(const Facts& facts, const std::vector<Check>& checks);

// The report of trainer doctor: lines, each ending in a newline, of which the last is the verdict.
std::string report_text(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json report_json(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json check_json(const Check& check);
nlohmann::ordered_json speed_json(const SpeedFacts& speed);  // null for what is unknown

// Rows of known failures.
std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

struct Sample {
  std::vector<std::pair<std::string_view, std::string>> labels;  // names and values
  std::string value;                                             // a number, or NaN
};
// A metric with all its samples in Prometheus's text format, for the textfile collector of its node_exporter.
std::string gauge_text(std::string_view name, std::string_view help, const std::vector<Sample>& samples);

// "10  no driver, or a part of it is missing": one line for each exit status, for --help.
std::string exit_classes_text();

// trainer doctor --prolog: the quick checks of a node, judged by a file (deploy/health.yaml), before a job starts there or every few
// minutes. It ends within five seconds whatever the machine does: all that may hang, drivers and file systems, has a limit.

// The exit statuses of monitoring plugins; as the word for a check, ok means that it is ignored.
enum class Severity : std::uint8_t { ok = 0, warn = 1, critical = 2, unknown = 3 };

struct Health {
  int gpus = 0;                             // that the node has at least
  std::map<std::string, Severity> of = {};  // a problem in a check; of one that is not there: warn
};
Health read_health(const std::string& file);  // throws UsageError with the place and the choices

struct NodeReport {
  Health health = {};
  std::vector<Check> checks = {};
  std::string failure = {};  // why the doctor itself failed; empty: it did not
  double seconds = 0;
};

// What is known if this check gives no answer.
NodeReport without_answer(NodeReport report, const std::string& check);

// The worst of all; a failure of the doctor itself hides nothing critical.
Severity status_of(const NodeReport& report);
std::string node_json(const NodeReport& report);                        // one line
std::string node_metrics(const NodeReport& report, std::uint64_t now);  // `now` in seconds since 1970
std::string node_junit(const NodeReport& report);

struct PrologOptions {
  Questions questions = {};
  std::string health = {};  // the file; empty: the shipped one
  std::string prom = {};    // for node_exporter; empty: none
  std::string junit = {};   // empty: none
};
// Prints one line of JSON and returns its status.
int run_prolog(const Environment& environment, const PrologOptions& options);

}  // namespace trainer::doctor
