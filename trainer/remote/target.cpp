// The keys of a target's files, in one table, and the alphabets of their values.
#include "trainer/remote/target.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <regex>
#include <variant>

#include "models/yaml_reader.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using Variables = nlohmann::ordered_map<std::string, std::string>;

constexpr const char* kTypeWords[] = {"local", "localdocker", "remotedocker"};

std::string fault(std::string_view text, std::string_view wanted) {
  return fmt::format("{}: {}", in_quotes(text), wanted);
}

// Each returns what is wrong with a value, as a text that follows the value's name, or "":
// "'-oProxyCommand=x': a host name or an IP address, not beginning with '-'".

// Colons are for IPv6, which has two or more, a percent sign for its zone.
std::string fault_of_address(std::string_view address) {
  const std::size_t colon = address.find(':');
  if (colon != std::string_view::npos && colon == address.rfind(':'))
    return fault(address, "a host name or an IP address; the port after the colon goes to --port, or 'port'");
  if (is_spelled(address, ":", ".-_%") && address.size() <= 253) return "";
  return fault(address,
               "a host name or an IP address, without user, port and brackets, not beginning with '-'");
}

std::string fault_of_username(std::string_view username) {
  if (is_spelled(username, "_", ".-") && username.size() <= 64) return "";
  return fault(username, "letters, digits, '.', '_' and '-', not beginning with '-' or '.'");
}

std::string fault_of_image(std::string_view image) {
  if (is_spelled(image, "", "._-/:@") && image.size() <= 255 && !image.ends_with(':')) return "";
  return fault(image,
               "an image is named like mnist-trainer:1.0 or registry/name:tag, not beginning with '-'");
}

// Indices (0), MIG instances of one (1:0), and UUIDs as nvidia-smi -L prints them (GPU-..., MIG-...).
std::string fault_of_gpus(std::string_view gpus) {
  const std::string device = "([0-9]{1,3}(:[0-9]{1,3})?|(GPU|MIG)-[0-9A-Za-z/-]{1,64})";
  static const std::regex kGpus("all|none|" + device + "(," + device + ")*");
  if (gpus.size() <= 1024 && std::regex_match(std::string(gpus), kGpus)) return "";
  return fault(gpus, "all, none, or GPUs like 0,1, GPU-UUID, 0:1 and MIG-UUID ('nvidia-smi -L' lists them)");
}

std::string fault_of_path(std::string_view path) {
  if (!path.empty() && path[0] != '-' && std::ranges::none_of(path, is_control)) return "";
  return fault(path, "a path, not beginning with '-', without control characters");
}

enum class Has : std::uint8_t { every_type, docker_types, remote_type };

struct Field {
  TargetFile file;
  Has has;  // the types that have this key
  const char* key;
  const char* json;  // null: not in the JSON. With dashes it is the option of `trainer target attach`.
  std::variant<std::string Target::*, int Target::*, bool Target::*, TargetType Target::*, Words Target::*,
               Variables Target::*>
      member;
  std::string (*fault_of)(std::string_view) = nullptr;
  bool required = false;  // otherwise an empty text is not written
  const char* comment = "";
};

constexpr TargetFile kCompute = TargetFile::compute;
constexpr TargetFile kRun = TargetFile::runconfig;

constexpr Field kFields[] = {
    {kCompute, Has::every_type, "type", "type", &Target::type, nullptr, true,
     "local | localdocker | remotedocker"},
    {kCompute, Has::remote_type, "address", "address", &Target::address, fault_of_address, true},
    {kCompute, Has::remote_type, "username", "username", &Target::username, fault_of_username},
    {kCompute, Has::remote_type, "port", "port", &Target::port},
    {kCompute, Has::remote_type, "identityFile", "identity_file", &Target::identity_file, fault_of_path},
    {kCompute, Has::remote_type, "sshConfig", "ssh_config", &Target::ssh_config, fault_of_path},
    {kCompute, Has::docker_types, "baseDockerImage", "image", &Target::image, fault_of_image, true},
    {kCompute, Has::docker_types, "gpus", "gpus", &Target::gpus, fault_of_gpus, false,
     "all, none (the CPU) or indices: \"0,1\""},
    {kRun, Has::every_type, "Target", nullptr, &Target::name, fault_of_target_name, true},
    {kRun, Has::every_type, "ArgumentVector", "arguments", &Target::arguments},
    {kRun, Has::every_type, "EnvironmentVariables", "environment_variables", &Target::variables},
    {kRun, Has::every_type, "PrepareEnvironment", "prepare_environment", &Target::prepare, nullptr, false,
     "prepare first when the image is missing"},
    {kRun, Has::every_type, "TrackedRun", "tracked_run", &Target::tracked, nullptr, false,
     "bring the run's folder back"},
};

// `nvidiaDocker: true` meant `gpus: all` before Docker itself supported GPUs.
constexpr const char* kFormerGpus = "nvidiaDocker";

bool has(const Target& target, const Field& field) {
  if (field.has == Has::remote_type) return target.is_remote();
  return field.has == Has::every_type || target.uses_docker();
}

Words keys_of(const Target& target, TargetFile which) {
  Words keys;
  for (const Field& field : kFields)
    if (field.file == which && has(target, field)) keys.emplace_back(field.key);
  if (which == TargetFile::compute && target.uses_docker()) keys.emplace_back(kFormerGpus);
  return keys;
}

void read_value(const YamlNode& node, const std::string& what, std::string& value) {
  value = read_text(node, what);
}
void read_value(const YamlNode& node, const std::string& what, int& port) {
  port = static_cast<int>(read_whole(node, what, {1, 65535}));
}
void read_value(const YamlNode& node, const std::string& what, bool& value) {
  value = read_bool(node, what);
}
void read_value(const YamlNode& node, const std::string& what, TargetType& type) {
  type = static_cast<TargetType>(read_word(node, what, {std::begin(kTypeWords), std::end(kTypeWords)}));
}

// The text may have several lines, but no zero byte, which no argument can hold.
std::string any_text(const YamlNode& node, const std::string& what) {
  if (node.kind != YamlKind::word) fail(node.place, fmt::format("{} must be a text", what));
  if (node.word.find('\0') != std::string::npos)
    fail(node.place, fmt::format("{} must be a text without zero bytes", what));
  return node.word;
}

void read_value(const YamlNode& node, const std::string& what, Words& arguments) {
  if (node.kind != YamlKind::list || node.items.empty())
    fail(node.place, what + " must be a list of words like [train, --model, lenet]");
  arguments.clear();
  for (const YamlNode& item : node.items) arguments.push_back(any_text(item, what));
}

void read_value(const YamlNode& node, const std::string& what, Variables& variables) {
  if (node.kind != YamlKind::map) fail(node.place, what + " must be a map like {NAME: \"value\"}");
  variables.clear();
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const auto& [name, place] = node.keys[i];
    if (!is_spelled(name, "_") || (name[0] >= '0' && name[0] <= '9'))
      fail(place, fmt::format("{}: {}: a variable's name is letters, digits and '_', the first no digit",
                              what, in_quotes(name)));
    if (!variables.emplace(name, any_text(node.items[i], fmt::format("{}: {}", what, name))).second)
      fail(place, fmt::format("{}: a second {}", what, in_quotes(name)));
  }
}

void read_field(const MapReader& map, const Field& field, Target& target) {
  const YamlNode* node = field.required ? &map.require(field.key) : map.find(field.key);
  if (node == nullptr) return;
  const std::string what = map.name_of(field.key);
  std::visit([&](const auto member) { read_value(*node, what, target.*member); }, field.member);
  if (field.fault_of == nullptr) return;
  const std::string fault = field.fault_of(target.*std::get<std::string Target::*>(field.member));
  if (!fault.empty()) fail(node->place, fmt::format("{} {}", what, fault));
}

// The text is quoted, as in JSON, only if YAML would read it as something else. A colon ends a key if a space follows, and
// in a list anywhere.
std::string yaml_word(const std::string& text, bool in_list = false) {
  const bool first = !text.empty() && std::string_view("@%=:").find(text[0]) == std::string_view::npos &&
                     (text[0] != '-' || text.starts_with("--")) && !text.starts_with("---");
  const bool null = text == "null" || text == "Null" || text == "NULL";
  const bool harmless = is_spelled(text, in_list ? "._-/+=@%" : "._-/+=@%:") && !text.ends_with(':');
  return first && !null && harmless ? text : to_text(text);
}

std::string yaml_value(const std::string& text) {
  return yaml_word(text);
}
std::string yaml_value(const auto& number) {  // or a bool
  return fmt::format("{}", number);
}
std::string yaml_value(TargetType type) {
  return target_type_word(type);
}
std::string yaml_value(const Words& arguments) {
  Words words;
  for (const std::string& argument : arguments) words.push_back(yaml_word(argument, true));
  return "[" + joined(words) + "]";
}
std::string yaml_value(const Variables& variables) {
  Words pairs;
  for (const auto& [name, value] : variables) pairs.push_back(fmt::format("{}: {}", name, to_text(value)));
  return "{" + joined(pairs) + "}";
}

}  // namespace

bool is_spelled(std::string_view text, std::string_view more_first, std::string_view more) {
  const auto is_first = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more_first.find(c) != std::string_view::npos;
  };
  return !text.empty() && is_first(text[0]) && std::ranges::all_of(text, [&](char c) {
    return is_first(c) || more.find(c) != std::string_view::npos;
  });
}

std::string fault_of_target_name(std::string_view name) {
  if (is_spelled(name, "", "._-") && name.size() <= 64) return "";
  return fault(
      name, "a target's name is at most 64 letters, digits, '.', '_' and '-', the first a letter or digit");
}

const char* target_type_word(TargetType type) {
  return kTypeWords[static_cast<std::size_t>(type)];
}

void to_json(ordered_json& json, TargetType type) {
  json = target_type_word(type);
}

std::string target_text(const Target& target, TargetFile which) {
  constexpr int kCommentColumn = 30;
  std::string text;
  for (const Field& field : kFields) {
    if (field.file != which || !has(target, field)) continue;
    const auto* words = std::get_if<std::string Target::*>(&field.member);
    if (words != nullptr && !field.required && (target.**words).empty()) continue;
    if (const auto* port = std::get_if<int Target::*>(&field.member); port != nullptr && target.**port == 0)
      continue;
    const std::string value =
        std::visit([&](const auto member) { return yaml_value(target.*member); }, field.member);
    const std::string pair = fmt::format("{}: {}", field.key, value);
    text += *field.comment == '\0' ? pair + "\n"
                                   : fmt::format("{:<{}}# {}\n", pair, kCommentColumn, field.comment);
  }
  return text;
}

void read_target(const std::string& text, const std::string& file, TargetFile which, Target& target) {
  const YamlNode root = parse_yaml(text, file);
  const bool is_compute = which == TargetFile::compute;
  const char* what = is_compute ? "compute" : "runconfig";
  if (is_compute) {
    target.type = TargetType::remotedocker;  // which has all keys
    read_field(MapReader(root, what, keys_of(target, which)), kFields[0], target);
  }
  const MapReader map(root, what, keys_of(target, which));
  const std::string name = target.name;
  for (const Field& field : kFields)
    if (field.file == which && has(target, field)) read_field(map, field, target);
  if (target.name != name)
    fail(map.require("Target").place,
         fmt::format("runconfig: Target is {}, but the file is named after {}", target.name, name));
  if (const YamlNode* former = map.find(kFormerGpus)) {
    if (map.find("gpus") != nullptr)
      fail(former->place, "compute: nvidiaDocker and gpus say the same; keep gpus");
    target.gpus = read_bool(*former, "compute: nvidiaDocker") ? "all" : "none";
  }
}

ordered_json target_json(const Target& target) {
  ordered_json json{{"name", target.name}, {"type", nullptr}, {"built_in", target.built_in}};
  for (const Field& field : kFields)
    if (field.json != nullptr && has(target, field))
      std::visit([&](const auto member) { json[field.json] = target.*member; }, field.member);
  if (target.is_remote() && target.port == 0) json["port"] = nullptr;
  return json;
}

std::string fault_of(const Target& target) {
  for (const Field& field : kFields) {
    if (field.fault_of == nullptr || !has(target, field)) continue;
    const std::string& value = target.*std::get<std::string Target::*>(field.member);
    const std::string fault = value.empty() && !field.required ? "" : field.fault_of(value);
    if (fault.empty()) continue;
    std::string option = field.json == nullptr ? "" : fmt::format("--{} ", field.json);
    std::ranges::replace(option, '_', '-');
    return option + fault;
  }
  return "";
}

}  // namespace trainer
