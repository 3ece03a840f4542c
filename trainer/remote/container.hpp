// A run in a container: the argument vectors of docker, the state of a container, and the image that it is made from. The
// container is named after the run and runs detached, so it needs no connection and no client to go on; it stays after its
// end until its folder is fetched. It has no network, because a training needs none.
// Transfers between this machine and a target: the files that a training's arguments name (its network's YAML file and its
// data set) are sent, and the run's folder is fetched, or sent to continue it. Both are tar streams that the same shell script
// receives; it unpacks a stream only if its SHA-256 is the one computed at the source, so that a folder is complete or absent.
#pragma once

#include <cstdint>
#include <map>
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
  std::string id;   // the run's and the container's name
  Words arguments;  // of this program in the image
  std::vector<Mount> mounts = {};
  fs::path resumed = {};  // the run's folder on this machine, if it continues; then its name is `id`
};

// docker with `words` and, after "--", a name, which is therefore never taken for an option.
[[nodiscard]] Words docker_words(Words words, const std::string& name);

// Commands that start the container (or only create it, if a run continues) and print its long id, that print its state for
// parse_state, and that write the run's folder, or a file in it, as a tar stream.
[[nodiscard]] Words run_words(const Target& target, const ContainerRun& run);
[[nodiscard]] Words state_words(const std::string& id);
[[nodiscard]] Words copy_words(const std::string& id, const std::string& file = "");  // "/run.json"
// Prints layers, date and platform, which are the same exactly where the images are. The Id of an image would not do:
// it differs between the stores that an engine may keep its images in.
[[nodiscard]] Words fingerprint_words(const std::string& image);

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

// The arguments are read as words: only the program on the target parses them.
// Whether `--name` or `--name=value` is one of them.
[[nodiscard]] bool has_option(const Words& arguments, const std::string& name);
// The arguments without all such options and their values.
[[nodiscard]] Words without_option(Words arguments, const std::string& name);
// The value of the last such option, which is the one in effect.
[[nodiscard]] std::optional<std::string> option_value(const Words& arguments, const std::string& name);

struct SentFiles {
  std::string option;  // "--model" or "--data"
  fs::path given;      // absolute path of what the option names on this machine
  fs::path folder;     // on this machine
  Words names;         // the files and folders in it that are sent
  fs::path inside;     // the folder in the container
  std::string word;    // the option's value in the container
};

// The files of a training that is started in `working_folder`. A name that is no file of this machine is left to the target,
// whose image has networks and data of its own. Throws SpecError and data::DataError for files that cannot be trained with.
[[nodiscard]] std::vector<SentFiles> files_of_training(const Words& arguments,
                                                       const fs::path& working_folder);

// The arguments with the paths in the container.
[[nodiscard]] Words arguments_inside(Words arguments, const std::vector<SentFiles>& files);

// Makes the files available to a container and returns how to mount them. On this machine they are mounted themselves. To
// another machine they are sent, with a line on standard error, unless it has them already in a folder named by their SHA-256,
// ${XDG_CACHE_HOME:-~/.cache}/mnist-trainer/sent/DIGEST. Throws TargetError, FileError.
[[nodiscard]] std::vector<Mount> bring_files(const Connection& connection,
                                             const std::vector<SentFiles>& files);

struct Fetched {
  fs::path folder;                             // holds the files
  std::map<std::string, std::string> digests;  // SHA-256 by file name
};

// Fetches the folder of run `id` from its container, which has ended, into the new folder `staging`. Returns nothing if the
// container has no such folder. Throws TargetError, and FileError if the stream cannot be written, has another digest than at
// the source, or holds anything but files.
[[nodiscard]] std::optional<Fetched> fetch_run(const Connection& connection, const std::string& id,
                                               const fs::path& staging);

// Copies the files that a training continues from, out of the run's `folder`, into the container `id`, which has not been started, as
// a folder that any user may write. Returns how that ended.
[[nodiscard]] ProcessOutput put_run(const Connection& connection, const std::string& id,
                                    const fs::path& folder);

}  // namespace trainer
