// Text to targets: every key and value is checked where it stands.
#include <fmt/format.h>
#include <functional>

#include "models/yaml_reader.hpp"
#include "trainer/remote/target_files.hpp"

namespace trainer {

namespace {

using FaultOf = std::function<std::string(std::string_view)>;

// The value of `key` if it is there, held to its alphabet.
void read_checked(const MapReader& map, std::string_view key, std::string& value, const FaultOf& fault_of) {
  const YamlNode* node = map.find(key);
  if (node == nullptr) return;
  map.read(key, value);
  if (const std::string fault = fault_of(value); !fault.empty())
    fail(node->place, fmt::format("{} {}", map.name_of(key), fault));
}

void require_checked(const MapReader& map, std::string_view key, std::string& value,
                     const FaultOf& fault_of) {
  map.require(key);
  read_checked(map, key, value, fault_of);
}

// Also several lines; what a program cannot be handed, a zero byte, is refused.
std::string any_text(const YamlNode& node, const std::string& what) {
  if (node.kind != YamlKind::word) fail(node.place, fmt::format("{} must be a text", what));
  if (node.word.find('\0') != std::string::npos)
    fail(node.place, fmt::format("{} must be a text without zero bytes", what));
  return node.word;
}

Words known_keys(TargetType type) {
  Words keys{"type"};
  if (type == TargetType::remotedocker)
    keys.insert(keys.end(), {"address", "username", "port", "identityFile", "sshConfig"});
  if (type != TargetType::local) keys.insert(keys.end(), {"baseDockerImage", "gpus", "nvidiaDocker"});
  return keys;
}

TargetType type_of(const YamlNode& root) {
  const MapReader any(root, "compute", known_keys(TargetType::remotedocker));
  const Words types{"local", "localdocker", "remotedocker"};
  return static_cast<TargetType>(read_word(any.require("type"), "compute: type", types));
}

// nvidiaDocker: true is what gpus: all was called before Docker knew GPUs itself.
void read_gpus(const MapReader& map, Target& target) {
  read_checked(map, "gpus", target.gpus, fault_of_gpus);
  const YamlNode* former = map.find("nvidiaDocker");
  if (former == nullptr) return;
  if (map.find("gpus") != nullptr)
    fail(former->place, "compute: nvidiaDocker and gpus say the same; keep gpus");
  target.gpus = read_bool(*former, "compute: nvidiaDocker") ? "all" : "none";
}

std::vector<std::string> read_arguments(const YamlNode& node) {
  const std::string what = "runconfig: ArgumentVector";
  if (node.kind != YamlKind::list || node.items.empty())
    fail(node.place, what + " must be a list of words like [train, --model, lenet]");
  std::vector<std::string> arguments;
  for (const YamlNode& item : node.items) arguments.push_back(any_text(item, what));
  return arguments;
}

std::vector<EnvironmentVariable> read_variables(const YamlNode& node) {
  const std::string what = "runconfig: EnvironmentVariables";
  if (node.kind != YamlKind::map) fail(node.place, what + " must be a map like {NAME: \"value\"}");
  std::vector<EnvironmentVariable> variables;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const auto& [name, place] = node.keys[i];
    if (const std::string fault = fault_of_variable_name(name); !fault.empty())
      fail(place, fmt::format("{}: {}", what, fault));
    for (const EnvironmentVariable& earlier : variables)
      if (earlier.name == name) fail(place, fmt::format("{}: a second {}", what, in_quotes(name)));
    variables.push_back({name, any_text(node.items[i], fmt::format("{}: {}", what, name))});
  }
  return variables;
}

}  // namespace

Target parse_compute(const std::string& text, const std::string& file, const std::string& name) {
  const YamlNode root = parse_yaml(text, file);
  Target target;
  target.name = name;
  target.type = type_of(root);
  const MapReader map(root, "compute", known_keys(target.type));
  if (target.is_remote()) {
    require_checked(map, "address", target.address, fault_of_address);
    require_checked(map, "username", target.username, fault_of_username);
    map.read("port", target.port, {1, 65535});
    read_checked(map, "identityFile", target.identity_file, fault_of_path);
    read_checked(map, "sshConfig", target.ssh_config, fault_of_path);
  }
  if (target.uses_docker()) {
    require_checked(map, "baseDockerImage", target.image, fault_of_image);
    read_gpus(map, target);
  }
  return target;
}

RunConfig parse_runconfig(const std::string& text, const std::string& file, const std::string& name) {
  const YamlNode root = parse_yaml(text, file);
  const MapReader map(
      root, "runconfig",
      {"Target", "ArgumentVector", "EnvironmentVariables", "PrepareEnvironment", "TrackedRun"});
  RunConfig config;
  require_checked(map, "Target", config.target, fault_of_target_name);
  if (config.target != name)
    fail(map.require("Target").place,
         fmt::format("runconfig: Target is {}, but the file is named after {}", config.target, name));
  if (const YamlNode* node = map.find("ArgumentVector")) config.arguments = read_arguments(*node);
  if (const YamlNode* node = map.find("EnvironmentVariables")) config.variables = read_variables(*node);
  map.read("PrepareEnvironment", config.prepare);
  map.read("TrackedRun", config.tracked);
  return config;
}

}  // namespace trainer
