#include "trainer/remote/container.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace trainer {

namespace docker {

// --pull never: an image that is missing is an error to be answered with `trainer prepare`, not a download.
std::vector<std::string> run(const ContainerRun& run) {
  std::vector<std::string> words{
      "docker", "run",   "--detach",  "--name", run.id, "--label", "org.mnist-trainer.run=" + run.id,
      "--pull", "never", "--network", "none"};
  if (const std::string gpus = gpus_argument(run.gpus); !gpus.empty())
    words.insert(words.end(), {"--gpus", gpus});
  for (const EnvironmentVariable& variable : run.variables)
    words.insert(words.end(), {"--env", variable.name + "=" + variable.value});
  for (const Mount& mount : run.mounts) words.insert(words.end(), {"--mount", mount_argument(mount)});
  words.insert(words.end(), {"--", run.image});
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  return words;
}

std::vector<std::string> logs(const std::string& id) {
  return {"docker", "logs", "--follow", "--", id};
}

std::vector<std::string> state(const std::string& id) {
  return {"docker", "inspect", "--type", "container", "--format", "{{json .State}}", "--", id};
}

std::vector<std::string> kill(const std::string& id, const std::string& signal) {
  return {"docker", "kill", "--signal", signal, "--", id};
}

std::vector<std::string> stop(const std::string& id) {
  return {"docker", "stop", "-t", "60", "--", id};
}

std::vector<std::string> copy_run(const std::string& id) {
  return {"docker", "cp", "--", fmt::format("{}:{}/{}", id, kContainerRuns, id), "-"};
}

std::vector<std::string> remove(const std::string& id) {
  return {"docker", "rm", "--force", "--volumes", "--", id};
}

// The Id of one image differs between the stores that an engine may keep its images in; layers and date do
// not.
std::vector<std::string> image_fingerprint(const std::string& image) {
  return {"docker",
          "image",
          "inspect",
          "--format",
          "{{json .RootFS.Layers}} {{.Created}} {{.Os}}/{{.Architecture}}",
          "--",
          image};
}

}  // namespace docker

std::string gpus_argument(const std::string& gpus) {
  if (gpus == "none") return "";
  return gpus == "all" ? "all" : fmt::format("\"device={}\"", gpus);
}

std::string mount_argument(const Mount& mount) {
  const auto field = [](const std::string& key, const std::string& value) {
    std::string text = "\"" + key + "=";
    for (const char c : value) text += c == '"' ? "\"\"" : std::string(1, c);
    return text + "\"";
  };
  return fmt::format("type=bind,{},{},readonly", field("source", mount.source),
                     field("target", mount.target));
}

bool is_container_name(std::string_view name) {
  const auto is_letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= 200 && is_letter_or_digit(name[0]) &&
         std::ranges::all_of(
             name, [&](char c) { return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-'; });
}

std::optional<ContainerState> parse_state(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    ContainerState state;
    const std::string status = json.at("Status").get<std::string>();
    state.running = status != "exited" && status != "dead" && status != "created";
    json.at("ExitCode").get_to(state.exit_code);
    state.out_of_memory = json.value("OOMKilled", false);
    state.error = json.value("Error", "");
    return state;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::string end_text(const ContainerState& state) {
  if (!state.error.empty()) return "the container could not be started: " + state.error;
  if (state.out_of_memory) return "the container was killed: it had used up its memory";
  if (state.exit_code == 128 + SIGKILL) return "the container was killed (signal 9)";
  return "";
}

}  // namespace trainer
