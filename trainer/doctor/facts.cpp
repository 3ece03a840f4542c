// Asks the driver, the libraries and the files for facts.
#include "trainer/doctor/facts.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "data/dataset.hpp"
#include "kernels/backend.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/version.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

// The folder itself, or its nearest parent that exists.
fs::path existing(fs::path folder) {
  std::error_code error;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

// Tries to create an unnamed file, which vanishes when closed; without support for these, checks the permissions alone.
std::string write_error(const fs::path& folder) {
  const int file = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0) {
    close(file);
    return "";
  }
  if ((errno == EOPNOTSUPP || errno == EISDIR) && access(folder.c_str(), W_OK) == 0) return "";
  return fmt::format("{} cannot be written: {}", folder.string(), std::strerror(errno));
}

void gather_files(const Environment& environment, const Questions& questions, Facts* facts) {
  FilesFacts& files = facts->files;
  questions.begins("data", *facts);
  try {
    const fs::path path = data_folder(environment, questions.data);
    files.data_path = path.lexically_normal().string();
    const data::Dataset all = data::load_dataset(path);
    files.data_text = fmt::format("{} + {} images of {}x{}, {} classes", all.train.count(), all.test.count(),
                                  all.shape.h, all.shape.w, all.classes);
  } catch (const data::DataError& error) {
    files.data_error = error.what();
  }
  questions.begins("results", *facts);
  const fs::path runs = runs_folder(environment.runs);
  const fs::path folder = existing(runs);
  files.runs_path = runs.string();
  files.runs_error = write_error(folder);
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (!error) files.runs_free_bytes = space.available;
}

void add_speed(const Questions& questions, const Nvml& nvml, Facts* facts) {
  const bool gpu = trains_on_gpu(*facts);
  if (questions.quick || (!gpu && facts->require_gpu)) return;
  try {
    facts->speed = measure_speed(gpu ? fmt::format("cuda:{}", facts->gpu.device) : "cpu", nvml);
  } catch (const BackendError& error) {
    facts->speed_error = error.what();
  }
}

}  // namespace

GpuFacts gather_gpu(const GpuProbe& probe, const Nvml& nvml, int device) {
  GpuFacts gpu;
  gpu.engine = has_gpu_engine();
  gpu.architectures = probe.architectures();
  gpu.device = device;
  gpu.around = probe.surroundings();
  gpu.devices = probe.count().devices;
  gpu.failure = find_gpu_failure(probe, device);
  gpu.nvml = nvml.start();
  gpu.installed = nvml.devices().value_or(gpu.devices);
  GpuInfo info;
  if (device >= gpu.devices || probe.describe(device, &info) != 0) return gpu;
  nvml.read(&info);
  gpu.info = info;
  return gpu;
}

Facts gather(const Environment& environment, const Questions& questions, const GpuProbe& probe,
             const Nvml& nvml) {
  Facts facts;
  facts.require_gpu = questions.require_gpu;
  facts.asks_for_cpu = questions.device == "cpu";
  const std::optional<int> index = cuda_index(questions.device);
  if (!index && !facts.asks_for_cpu && questions.device != "auto")
    throw UsageError(fmt::format("--device {}: one of auto, cpu, cuda, cuda:N", questions.device));
  facts.program = fmt::format("trainer {}", kVersion);
  facts.least_gpus = questions.least_gpus;
  questions.begins("libraries", facts);
  facts.cudnn = look_at_cudnn();
  questions.begins("MPI", facts);
  facts.cluster = look_at_cluster();
  questions.begins("GPU", facts);
  facts.gpu = gather_gpu(probe, nvml, index.value_or(0));
  questions.begins("cuBLASLt", facts);
  facts.cublas = look_at_cublas(facts.cudnn.used ? facts.gpu.around.runtime_version / 1000 : 0);
  facts.cpu = describe_cpu(1);
  facts.cpu_bf16 = cpu_has(Precision::bf16);
  gather_files(environment, questions, &facts);
  add_speed(questions, nvml, &facts);
  return facts;
}

}  // namespace trainer::doctor
