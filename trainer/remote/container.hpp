// A run as a container: the argument vectors of docker, what docker says of a container's state, and the image that the
// container is made of. The container is named after the run and runs detached on its engine, so that no connection and no
// client is needed for it to go on; it stays after its end until its folder is fetched. It has no network: a training
// needs none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/remote/connection.hpp"

namespace trainer {

// Where the image keeps runs (its TRAINER_RUNS).
inline constexpr const char* kContainerRuns = "/runs";

// A file or folder of the engine's machine that the container may read.
struct Mount {
  std::string source;
  std::string target;
};

struct ContainerRun {
  std::string id;                      // the run's and the container's name
  std::vector<std::string> arguments;  // of this program in the image
  std::vector<Mount> mounts = {};
};

// docker with `words` and, behind "--", a name that is therefore never taken for an option.
[[nodiscard]] std::vector<std::string> docker_words(std::vector<std::string> words, const std::string& name);

// They start the container and print its long id; print its state, for parse_state; write the run's folder as a tar stream.
[[nodiscard]] std::vector<std::string> run_words(const Target& target, const ContainerRun& run);
[[nodiscard]] std::vector<std::string> state_words(const std::string& id);
[[nodiscard]] std::vector<std::string> copy_words(const std::string& id);
// Layers, date and architecture, which are the same where the images are. The Id of one image is not: it differs between
// the stores that an engine may keep its images in.
[[nodiscard]] std::vector<std::string> fingerprint_words(const std::string& image);

// --gpus takes comma-separated fields, so indices need quotes of their own: "device=0,1". Empty: no GPU.
[[nodiscard]] std::string gpus_argument(const std::string& gpus);

struct ContainerState {
  int exit_code = -1;
  bool out_of_memory = false;
  std::string error;  // why it could not be started
};

// From what state_words prints; nothing where it prints something else.
[[nodiscard]] std::optional<ContainerState> parse_state(const std::string& text);

// What the end of a container means, "" for an ordinary end: "killed: it had used up the memory".
[[nodiscard]] std::string end_text(const ContainerState& state);

// The fingerprint of the target's image where the target is; empty: it is not there. Throws TargetError.
[[nodiscard]] std::string image_fingerprint(const Connection& connection);

// Brings the target's image to the target, once, and again only when it has changed: builds it here from the folder `build`,
// which has a Dockerfile, unless that is empty; compares, and sends it where this machine has another one; otherwise asks
// the target's registry. Says each step on standard error. Gives whether something has changed. Throws TargetError, and
// UsageError for a target without image.
bool prepare_target(const Connection& connection, const std::string& build = "");

// trainer target check: what a target needs before a training can run there, one row a need, and a fix for each that
// is not met. A need that cannot be looked at because an earlier one is not met says so. A machine that is not there is a
// row and no exception; only problems make a target unfit.
[[nodiscard]] std::vector<Check> check_target(const Connection& connection);

}  // namespace trainer
