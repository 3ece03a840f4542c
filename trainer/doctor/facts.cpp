// Asks the driver, the libraries and the files for facts.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <link.h>
#include <set>
#include <unistd.h>

#include "data/dataset.hpp"
#include "kernels/backend.hpp"
#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/loaded_library.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/doctor/apart.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/version.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

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

// Where the loader found it, with links resolved.
std::string path_of(void* library) {
  link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return "";
  std::error_code error;
  const fs::path whole = fs::canonical(map->l_name, error);
  return error ? map->l_name : whole.string();
}

// 91002 is 9.10.2: cuDNN (from 9 on), cuBLAS and NCCL (from 2.9 on) encode major * 10000 + minor * 100 + patch.
std::string version_text(std::size_t number) {
  return fmt::format("{}.{}.{}", number / 10000, number % 10000 / 100, number % 100);
}

// The version as NCCL or MPI itself tells it, which may be asked before MPI_Init ("Open MPI v4.1.4"), or the name of another one's file.
std::string version_of(void* library, const std::string& path) {
  std::array<char, 8192> text{};  // as long as MPI's longest
  int number = 0;                 // of MPI: the text's length
  if (const auto nccl = reinterpret_cast<int (*)(int*)>(dlsym(library, "ncclGetVersion")))
    return nccl(&number) == 0 ? version_text(static_cast<std::size_t>(number)) : "";
  const auto mpi = reinterpret_cast<int (*)(char*, int*)>(dlsym(library, "MPI_Get_library_version"));
  if (mpi == nullptr) return library_version(path);
  mpi(text.data(), &number);
  std::ranges::replace(text, '\t', ' ');
  return {text.data(), std::strcspn(text.data(), ",\n")};
}

// Name, path, version, error.
ordered_json loaded_part(const std::string& name, const std::string& folder) {
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
  const std::string error = library == nullptr ? dlerror() : "";
  if (library == nullptr && !folder.empty())
    library = dlopen((fs::path(folder) / name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return {name, "", "", error};
  const std::string path = path_of(library);
  return {name, path, version_of(library, path), ""};
}

// Every one of them that the loader finds, with its version.
std::string found_libraries(const std::vector<std::string>& names) {
  std::set<std::string> found;  // a library may have two names
  for (const std::string& name : names)
    for (const LibraryPart& part : load_apart({.names = {name}, .folder = "", .version_checks = {}}).parts)
      if (part.error.empty()) found.insert(part.version + ", " + part.path);
  return fmt::format("{}", fmt::join(found, "; "));
}

}  // namespace

CudnnFacts load_apart(const LoadOrder& order) {
  CudnnFacts facts;
  const Told told = work_apart([&](const Tell& tell) {
    ordered_json parts = ordered_json::array();
    ordered_json mixed = ordered_json::array();
    for (const std::string& name : order.names) parts.push_back(loaded_part(name, order.folder));
    for (const std::string& check : order.version_checks) {
      const auto disagrees = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, check.c_str()));
      if (disagrees != nullptr && disagrees() != 0) mixed.push_back(check);
    }
    tell({{"parts", parts}, {"mixed", mixed}});
  });
  facts.crashed = told.crashed;
  if (told.values.empty()) return facts;
  facts.mixed = told.values[0]["mixed"].get<std::vector<std::string>>();
  for (const ordered_json& part : told.values[0]["parts"])
    facts.parts.push_back({part[0], part[1], part[2], part[3]});
  return facts;
}

CudnnFacts look_at_cudnn() {
  const LoadedLibrary dispatcher("libcudnn.so.9", RTLD_LAZY | RTLD_NOLOAD);
  if (!dispatcher) return {};
  CudnnFacts cudnn = load_apart(
      {.names = {"libz.so.1", "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9",
                 "libcudnn_heuristic.so.9", "libcudnn_engines_precompiled.so.9",
                 "libcudnn_engines_runtime_compiled.so.9"},
       .folder = fs::path(path_of(dispatcher.handle())).parent_path().string(),
       .version_checks = {"cudnnGraphVersionCheck", "cudnnOpsVersionCheck", "cudnnCnnVersionCheck"}});
  cudnn.used = true;
  std::size_t (*const version)() = dispatcher.find({"cudnnGetVersion"});
  if (version != nullptr) cudnn.version = version_text(version());
  for (LibraryPart& part : cudnn.parts)
    if (part.name == "libz.so.1") part.version.clear();  // zlib's version, not cuDNN's
  return cudnn;
}

CublasFacts look_at_cublas(int wanted) {
  CublasFacts cublas;
  for (int major = 12; major < 20; ++major) {  // versions of CUDA, with which the file's name ends
    const std::string name = fmt::format("libcublasLt.so.{}", major);
    const LoadedLibrary library(name.c_str(), RTLD_LAZY | (major == wanted ? 0 : RTLD_NOLOAD));
    if (!library && major == wanted) cublas.error = dlerror();
    if (!library) continue;
    const std::string path = path_of(library.handle());
    cublas.loaded.push_back({name, path, library_version(path), ""});
    std::size_t (*const version)() = library.find({"cublasLtGetVersion"});
    std::size_t (*const cuda)() = library.find({"cublasLtGetCudartVersion"});
    if (cublas.version.empty() && version != nullptr) cublas.version = version_text(version());
    if (cublas.cuda_version == 0 && cuda != nullptr) cublas.cuda_version = static_cast<int>(cuda());
  }
  return cublas;
}

ClusterFacts look_at_cluster() {
  return {found_libraries({"libmpi.so.40", "libmpich.so.12", "libmpi.so.12"}),
          found_libraries({"libnccl.so.2"})};
}

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
