#include "trainer/remote/container.hpp"

#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "trainer/system/errors.hpp"
#include "trainer/system/json_fields.hpp"

namespace trainer {

namespace {

// --mount takes comma-separated values, so each is quoted in case it holds a comma or a quote.
std::string mount_argument(const Mount& mount) {
  const auto field = [](const std::string& key, const std::string& value) {
    std::string text = "\"" + key + "=";
    for (const char c : value) text += c == '"' ? "\"\"" : std::string(1, c);
    return text + "\"";
  };
  return fmt::format("type=bind,{},{},readonly", field("source", mount.source),
                     field("target", mount.target));
}

// The output of docker build is shown at once; its end is also kept, so that a failure can be explained.
void build(const Connection& here, const std::string& folder) {
  const std::string& image = here.target().image;
  notice(fmt::format("building {} from {}", image, folder));
  ProcessOutput output;
  const auto show = [&](std::string_view text) {
    output.err += text;
    if (output.err.size() > 65536) output.err.erase(0, output.err.size() - 32768);
    fmt::print(stderr, "{}", text);
  };
  // docker build would take a folder whose name looks like a URL for a URL.
  const std::string path = folder.starts_with('/') ? folder : "./" + folder;
  try {
    output.code =
        run_process({.words = docker_words({"build", "--tag", image}, path), .out = show, .err = show}).code;
  } catch (const ProcessError& error) {
    throw UsageError(fmt::format("{}: an image cannot be built here ({})", folder, error.what()));
  }
  if (output.code != 0) here.fail(output);
}

void send_image(const Connection& connection) {
  const Target& target = connection.target();
  notice(fmt::format("sending {} to {}", target.image, target.name));
  const auto [from, to] =
      connection.feed(docker_words({"save"}, target.image), {"docker", "load", "--quiet"});
  const int code = to.code != 0 ? to.code : from.code;
  if (code != 0) connection.fail({code, to.out, from.err + to.err});
}

// The image may be in a registry that the target knows.
void pull_image(const Connection& connection) {
  const Target& target = connection.target();
  notice(fmt::format("{} is not on this machine; asking a registry from {}", target.image, target.name));
  const ProcessOutput output = connection.capture(docker_words({"pull", "--quiet"}, target.image));
  if (output.code == 0) return;
  throw TargetError(
      target, {.cause = fmt::format(
                   "the image {} is neither on this machine nor there, and no registry gives it ({})",
                   target.image, connection.explain(output).cause),
               .fix = fmt::format("build it from this program's source: trainer prepare -c {} --build FOLDER",
                                  target.name)});
}

}  // namespace

Words docker_words(Words words, const std::string& name) {
  words.insert(words.begin(), "docker");
  words.insert(words.end(), {"--", name});
  return words;
}

Words state_words(const std::string& id) {
  return docker_words({"inspect", "--type", "container", "--format", "{{json .State}}"}, id);
}

Words copy_words(const std::string& id, const std::string& file) {
  Words words = docker_words({"cp"}, fmt::format("{0}:{1}/{0}{2}", id, kContainerRuns, file));
  words.emplace_back("-");
  return words;
}

Words fingerprint_words(const std::string& image) {
  const char* format = "{{json .RootFS.Layers}} {{json .Created}} {{.Os}}/{{.Architecture}}";
  return docker_words({"image", "inspect", "--format", format}, image);
}

// Podman, if it is installed as docker, has other names for the same fields. Some versions of docker info succeed without an
// engine and print nothing between the bars.
std::optional<Engine> find_engine(const Connection& connection, ProcessOutput& answer) {
  const auto ask = [&](const char* format) {
    answer = connection.capture({"docker", "info", "--format", format});
    std::istringstream line(first_line(answer.out));
    Words parts;
    for (std::string part; std::getline(line, part, '|');) parts.push_back(part);
    return parts;
  };
  Words parts =
      ask("{{.ServerVersion}}|{{.OSType}}/{{.Architecture}}|{{.DockerRootDir}}|{{.SecurityOptions}}");
  const bool is_podman = answer.code != 0 && answer.err.find("field ServerVersion") != std::string::npos;
  if (is_podman)
    parts =
        ask("Podman {{.Version.Version}}|{{.Host.OS}}/{{.Host.Arch}}|{{.Store.GraphRoot}}|"
            "rootless={{.Host.Security.Rootless}}");
  if (answer.code != 0 || parts.size() < 3 || parts[0].empty()) return std::nullopt;
  parts.resize(4);
  static const std::map<std::string, std::string> kNames{
      {"linux/x86_64", "linux/amd64"}, {"linux/aarch64", "linux/arm64"}, {"linux/armv7l", "linux/arm"}};
  const auto name = kNames.find(parts[1]);
  return Engine{parts[0], name == kNames.end() ? parts[1] : name->second, parts[2],
                parts[3].find("name=rootless") != std::string::npos || parts[3] == "rootless=true"};
}

std::optional<Failure> wrong_platform(const Target& target, const std::string& fingerprint,
                                      const Engine& engine) {
  const std::string image = fingerprint.substr(fingerprint.find_last_of(' ') + 1);
  if (image.find('/') == std::string::npos || image == engine.platform) return std::nullopt;
  Failure failure = target_failure(target, "docker-architecture");
  failure.cause = fmt::format("the image {} is for {}, the engine of {} for {}", target.image, image,
                              target.name, engine.platform);
  return failure;
}

// Ranks in one container exchange gradients through /dev/shm, for which Docker allows 64 MB by default.
// --pull never: an image that is missing is an error to be answered with `trainer prepare`, not a download.
Words run_words(const Target& target, const ContainerRun& run) {
  Words words{"docker", "run", "--detach"};
  if (!run.resumed.empty()) words = {"docker", "create"};
  words.insert(words.end(), {"--name", run.id, "--label", "org.mnist-trainer.run=" + run.id, "--pull",
                             "never", "--network", "none"});
  if (const std::string gpus = gpus_argument(target.gpus); !gpus.empty())
    words.insert(words.end(), {"--gpus", gpus});
  if (has_option(run.arguments, "--ranks")) words.insert(words.end(), {"--shm-size", "1g"});
  for (const auto& [name, value] : target.variables)
    words.insert(words.end(), {"--env", fmt::format("{}={}", name, value)});
  for (const Mount& mount : run.mounts) words.insert(words.end(), {"--mount", mount_argument(mount)});
  words.insert(words.end(), {"--", target.image});
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  return words;
}

std::string gpus_argument(const std::string& gpus) {
  if (gpus == "none") return "";
  return gpus == "all" ? "all" : fmt::format("\"device={}\"", gpus);
}

std::optional<RunEnd> parse_state(const std::string& text) {
  try {
    const auto json = ordered_json::parse(text);
    const int code = whole_number<int>(json.at("ExitCode"));
    const std::string error = json.value("Error", "");
    if (!error.empty()) return RunEnd{code, "the container could not be started: " + error};
    if (json.value("OOMKilled", false))
      return RunEnd{code, "the container was killed: it had used up its memory"};
    return RunEnd{code, code == 128 + SIGKILL ? "the container was killed (signal 9)" : ""};
  } catch (const std::exception&) {  // not JSON, another kind of field, or a number that does not fit
    return std::nullopt;
  }
}

bool names_absent_file(const ProcessOutput& output) {
  return output.err.find("Could not find the file") != std::string::npos ||
         output.err.find("no such file or directory") != std::string::npos;
}

// The stream of one file is a header of 512 bytes, whose characters 124 to 134 are its size in octal digits, and the file.
std::optional<std::string> peek_at_run(const Connection& connection, const std::string& id,
                                       std::string_view name) {
  const ProcessOutput output = connection.capture(copy_words(id, fmt::format("/{}", name)));
  if (names_absent_file(output)) return std::nullopt;
  constexpr std::size_t kHeader = 512, kSize = 124;
  if (output.code != 0 || output.out.size() < kHeader) connection.fail(output);
  return output.out.substr(kHeader, std::strtoull(&output.out[kSize], nullptr, 8));
}

std::string image_fingerprint(const Connection& connection) {
  const ProcessOutput output = connection.capture(fingerprint_words(connection.target().image));
  if (output.code == 0) return first_line(output.out);
  const Failure failure = connection.explain(output);
  if (failure.key == "docker-no-image") return "";
  throw TargetError(connection.target(), failure);
}

bool prepare_target(const Connection& connection, const std::string& build_folder) {
  const Target& target = connection.target();
  if (!target.uses_docker())
    throw UsageError(fmt::format("{} runs this program itself; there is no image to prepare", target.name));
  Target local = target;
  local.type = TargetType::localdocker;
  const Connection here(local, {});
  if (!build_folder.empty()) build(here, build_folder);
  const std::string there = image_fingerprint(connection);
  if (!target.is_remote()) {
    if (there.empty()) pull_image(connection);
    return there.empty() || !build_folder.empty();
  }
  const ProcessOutput own = here.capture(fingerprint_words(target.image));
  const bool has_own = own.code == 0;
  if (has_own ? first_line(own.out) == there : !there.empty()) return false;
  if (has_own) {
    ProcessOutput answer;
    const std::optional<Engine> engine = find_engine(connection, answer);
    if (!engine) connection.fail(answer);
    if (const auto wrong = wrong_platform(target, first_line(own.out), *engine))
      throw TargetError(target, *wrong);
    send_image(connection);
  } else {
    pull_image(connection);
  }
  return true;
}

}  // namespace trainer
