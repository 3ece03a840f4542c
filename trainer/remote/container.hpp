// A run in a container: the argument vectors of docker, the state of a container, and the image that it is made from. The
// container is named after the run and runs detached, so it needs no connection and no client to go on; it stays after its
// end until its folder is fetched. It has no network, because a training needs none.
#pragma once

#include <filesystem>
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
  std::filesystem::path resumed =
      {};  // the run's folder on this machine, if the run continues; then its name is `id`
};

// docker with `words` and, after "--", a name, which is therefore never taken for an option.
[[nodiscard]] std::vector<std::string> docker_words(std::vector<std::string> words, const std::string& name);

// Commands that start the container (or only create it, if a run continues) and print its long id, that print its state for
// parse_state, and that write the run's folder as a tar stream.
[[nodiscard]] std::vector<std::string> run_words(const Target& target, const ContainerRun& run);
[[nodiscard]] std::vector<std::string> state_words(const std::string& id);
[[nodiscard]] std::vector<std::string> copy_words(const std::string& id);
// Prints layers, date and platform, which are the same exactly where the images are. The Id of an image would not do:
// it differs between the stores that an engine may keep its images in.
[[nodiscard]] std::vector<std::string> fingerprint_words(const std::string& image);

// What a container engine reports about itself.
struct Engine {
  std::string version;   // "28.2.2" or "Podman 4.3.1"
  std::string platform;  // "linux/amd64"; an engine's other names (x86_64) are replaced by those of images
  std::string folder;    // where it keeps images
  bool is_rootless = false;
};

// Asks the target's engine; nothing, and `answer` says why, if there is none.
[[nodiscard]] std::optional<Engine> find_engine(const Connection& connection, ProcessOutput& answer);

// The failure for an image with this fingerprint if it is for another platform than the engine's.
[[nodiscard]] std::optional<Failure> wrong_platform(const Target& target, const std::string& fingerprint,
                                                    const Engine& engine);

// The value of --gpus, empty for no GPU. It consists of comma-separated fields, so indices are quoted: "device=0,1".
[[nodiscard]] std::string gpus_argument(const std::string& gpus);

// How a run ended.
struct RunEnd {
  int exit_code = -1;
  std::string text = {};  // explains an unusual end: "the container was killed: it had used up its memory"
};

// Parses the output of state_words; nothing if it is something else.
[[nodiscard]] std::optional<RunEnd> parse_state(const std::string& text);

// Whether docker cp says that the container has no such file; Podman says it in other words.
[[nodiscard]] bool names_absent_file(const ProcessOutput& output);

// A file of run `id` as it is in its container now; nothing if it is not there yet. Throws TargetError.
[[nodiscard]] std::optional<std::string> peek_at_run(const Connection& connection, const std::string& id,
                                                     std::string_view name);

// The fingerprint of the target's image on the target, empty if the image is not there. Throws TargetError.
[[nodiscard]] std::string image_fingerprint(const Connection& connection);

// Brings the target's image to the target unless the same image is there already. If `build` names a folder with a
// Dockerfile, the image is built here first. An image of this machine is sent; without one, the target asks its registry.
// Prints each step on standard error. Returns whether anything changed. Throws TargetError, and UsageError if the target has
// no image.
bool prepare_target(const Connection& connection, const std::string& build = "");

// The rows of `trainer target check`: what a target needs before a training can run there, with a fix for each need that is
// not met. A row says so if it could not be examined because an earlier need is not met. An unreachable machine is a row
// and no exception.
[[nodiscard]] std::vector<Check> check_target(const Connection& connection);

}  // namespace trainer
