// A run as a container: the argument vectors of docker, and what docker says of a container's state. The
// container is named after the run and runs detached on its engine, so that no connection and no client is
// needed for it to go on; it stays after its end until its folder is fetched. It has no network: a training
// needs none.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/remote/target.hpp"

namespace trainer {

// Where the image keeps runs (its TRAINER_RUNS).
inline constexpr const char* kContainerRuns = "/runs";

// A file or folder of the engine's machine that the container may read.
struct Mount {
  std::string source;
  std::string target;
};

struct ContainerRun {
  std::string id;  // of the run; the container's name
  std::string image;
  std::string gpus;  // as Target has it
  std::vector<EnvironmentVariable> variables;
  std::vector<std::string> arguments;  // of this program in the image
  std::vector<Mount> mounts = {};
};

namespace docker {

std::vector<std::string> run(const ContainerRun& run);  // prints the container's long id
std::vector<std::string> logs(const std::string& id);   // all of its output so far, then as it comes
std::vector<std::string> state(const std::string& id);  // for parse_state
std::vector<std::string> kill(const std::string& id, const std::string& signal);
std::vector<std::string> stop(const std::string& id);      // asks, and after a minute insists
std::vector<std::string> copy_run(const std::string& id);  // the run's folder as a tar stream
std::vector<std::string> remove(const std::string& id);    // with its anonymous volumes
std::vector<std::string> image_fingerprint(const std::string& image);

}  // namespace docker

// --gpus takes comma-separated fields, so indices need quotes of their own: "device=0,1". Empty: no GPU.
[[nodiscard]] std::string gpus_argument(const std::string& gpus);

// --mount takes a line of comma-separated values: what holds a comma or a quote stands in quotes.
[[nodiscard]] std::string mount_argument(const Mount& mount);

// Letters, digits, '_', '.' and '-', the first a letter or digit.
[[nodiscard]] bool is_container_name(std::string_view name);

struct ContainerState {
  bool running = false;
  int exit_code = -1;
  bool out_of_memory = false;
  std::string error;  // why it could not be started
};

// Of what docker::state prints; nothing where it is not that.
[[nodiscard]] std::optional<ContainerState> parse_state(const std::string& text);

// What the end of a container means, "" for an ordinary end: "killed: it had used up the memory".
[[nodiscard]] std::string end_text(const ContainerState& state);

}  // namespace trainer
