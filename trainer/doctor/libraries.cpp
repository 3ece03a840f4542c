#include "trainer/doctor/libraries.hpp"

#include <array>
#include <dlfcn.h>
#include <filesystem>
#include <fmt/format.h>
#include <link.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/gpu_host/gpu_surroundings.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

// Where the loader found it, links followed.
std::string path_of(void* library) {
  link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return "";
  std::error_code error;
  const fs::path whole = fs::canonical(map->l_name, error);
  return error ? map->l_name : whole.string();
}

// A line of three fields for the parent: name, path, error.
std::string loaded_line(const std::string& name, const std::string& folder) {
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
  std::string error;
  if (library == nullptr) {
    if (const char* text = dlerror()) error = text;
    if (!folder.empty()) library = dlopen((fs::path(folder) / name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  }
  if (library == nullptr) return fmt::format("part\t{}\t\t{}\n", name, error.empty() ? "not found" : error);
  return fmt::format("part\t{}\t{}\t\n", name, path_of(library));
}

std::string mixed_line(const std::string& check) {
  const auto disagrees = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, check.c_str()));
  return disagrees != nullptr && disagrees() != 0 ? fmt::format("mixed\t{}\t\t\n", check) : "";
}

void write_all(int file, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t some = write(file, text.data() + done, text.size() - done);
    if (some <= 0) _exit(1);
    done += static_cast<std::size_t>(some);
  }
}

[[noreturn]] void load_and_tell(const LoadOrder& order, int file) {
  for (const std::string& name : order.names) write_all(file, loaded_line(name, order.folder));
  for (const std::string& check : order.version_checks) write_all(file, mixed_line(check));
  _exit(0);
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; (got = read(file, piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(got));
  return text;
}

LoadResult result_of(const std::string& text) {
  LoadResult result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::array<std::string, 4> field;
    for (std::string& one : field) std::getline(fields, one, '\t');
    if (field[0] == "mixed") result.mixed.push_back(field[1]);
    if (field[0] == "part") result.parts.push_back({field[1], field[2], library_version(field[2]), field[3]});
  }
  return result;
}

// 91002 is 9.10.2: of cuDNN (from 9 on) and cuBLAS, major * 10000 + minor * 100 + patch.
std::string version_text(std::size_t number) {
  return fmt::format("{}.{}.{}", number / 10000, number % 10000 / 100, number % 100);
}

}  // namespace

LoadResult load_apart(const LoadOrder& order) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {};
  const pid_t child = fork();
  if (child == 0) load_and_tell(order, ends[1]);
  close(ends[1]);
  LoadResult result = result_of(read_all(ends[0]));
  close(ends[0]);
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child) result.crashed = WIFSIGNALED(status);
  return result;
}

CudnnFacts look_at_cudnn() {
  CudnnFacts cudnn;
  void* dispatcher = dlopen("libcudnn.so.9", RTLD_LAZY | RTLD_NOLOAD);
  if (dispatcher == nullptr) return cudnn;
  cudnn.used = true;
  const auto version = reinterpret_cast<std::size_t (*)()>(dlsym(dispatcher, "cudnnGetVersion"));
  if (version != nullptr) cudnn.version = version_text(version());
  const LoadResult loaded = load_apart(
      {.names = {"libz.so.1", "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9",
                 "libcudnn_heuristic.so.9", "libcudnn_engines_precompiled.so.9",
                 "libcudnn_engines_runtime_compiled.so.9"},
       .folder = fs::path(path_of(dispatcher)).parent_path().string(),
       .version_checks = {"cudnnGraphVersionCheck", "cudnnOpsVersionCheck", "cudnnCnnVersionCheck"}});
  dlclose(dispatcher);
  cudnn.crashed = loaded.crashed;
  cudnn.mixed = loaded.mixed;
  for (LibraryPart part : loaded.parts) {
    if (part.name == "libz.so.1") part.version.clear();  // its own, not cuDNN's
    cudnn.parts.push_back(part);
  }
  return cudnn;
}

CublasFacts look_at_cublas(int wanted) {
  constexpr int kFirst = 12;  // CUDA's, whose number the file's name ends with
  constexpr int kLast = 19;
  CublasFacts cublas;
  for (int major = kFirst; major <= kLast; ++major) {
    const std::string name = fmt::format("libcublasLt.so.{}", major);
    void* library = dlopen(name.c_str(), RTLD_LAZY | (major == wanted ? 0 : RTLD_NOLOAD));
    if (library == nullptr) {
      const char* error = dlerror();
      if (major == wanted) cublas.error = error != nullptr ? error : name + ": not found";
      continue;
    }
    const std::string path = path_of(library);
    cublas.loaded.push_back({name, path, library_version(path), ""});
    const auto version = reinterpret_cast<std::size_t (*)()>(dlsym(library, "cublasLtGetVersion"));
    const auto cuda = reinterpret_cast<std::size_t (*)()>(dlsym(library, "cublasLtGetCudartVersion"));
    if (cublas.version.empty() && version != nullptr) cublas.version = version_text(version());
    if (cublas.cuda_version == 0 && cuda != nullptr) cublas.cuda_version = static_cast<int>(cuda());
    dlclose(library);
  }
  return cublas;
}

}  // namespace trainer::doctor
