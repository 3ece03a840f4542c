#include "trainer/store/environment.hpp"

#include <cstdlib>
#include <fmt/format.h>

#include "kernels/gpu_host/gpu_failure.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

fs::path cache_folder() {
  if (const auto own = variable("TRAINER_CACHE")) return *own;
  if (const auto users = variable("XDG_CACHE_HOME")) return fs::path(*users) / "mnist-trainer";
  if (const auto home = variable("HOME")) return fs::path(*home) / ".cache/mnist-trainer";
  return {};
}

}  // namespace

Environment read_environment(int argc, char** argv) {
  Environment environment;
  environment.arguments.assign(argv, argv + argc);
  std::error_code error;
  environment.executable = fs::read_symlink("/proc/self/exe", error);
  if (error) environment.executable = fs::absolute(argc > 0 ? argv[0] : "trainer", error);
  environment.runs.working_folder = fs::current_path();
  environment.runs.trainer_runs = variable("TRAINER_RUNS");
  environment.data = variable("TRAINER_DATA");
  environment.cache = cache_folder();
  environment.runtime = variable("XDG_RUNTIME_DIR").value_or("");
  environment.runs.inside_container = inside_container();
  return environment;
}

fs::path data_folder(const Environment& environment, const std::string& given) {
  data::SearchPlaces places;
  if (!given.empty()) places.given = given;
  places.environment = environment.data;
  places.executable = environment.executable;
  places.compiled_in = {fs::path(TRAINER_SHARE_DIR) / "mnist", fs::path(TRAINER_SOURCE_DIR) / "data/mnist"};
  return data::find_data(places);
}

fs::path models_folder(const Environment& environment) {
  std::vector<fs::path> places{environment.executable.parent_path() / "../share/mnist-trainer/models"};
  for (fs::path folder = environment.executable.parent_path(); folder.has_relative_path();
       folder = folder.parent_path()) {
    places.push_back(folder / "models");
  }
  places.emplace_back(fs::path(TRAINER_SHARE_DIR) / "models");
  places.emplace_back(fs::path(TRAINER_SOURCE_DIR) / "models");
  std::string looked;
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::is_regular_file(place / "quick.yaml", error)) return place.lexically_normal();
    looked += (looked.empty() ? "" : ", ") + place.lexically_normal().string();
  }
  throw UsageError(
      fmt::format("the shipped networks (quick.yaml ...) were not found; looked in {}; "
                  "give a network's own file with --model path/to/network.yaml",
                  looked));
}

}  // namespace trainer
