// Where a run happens, and what runs there: the two small files of a target as data.
//   targets/NAME.compute     what the machine is: type, address, user, image, GPUs
//   targets/NAME.runconfig   what runs: arguments, variables, whether to prepare, whether to keep a record
// Address, user and the rest end up on the command lines of ssh and docker, so each is held to a narrow
// alphabet and never begins with '-'. No password is taken, stored or sent: keys and an agent only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

enum class TargetType : std::uint8_t { local, localdocker, remotedocker };

[[nodiscard]] const char* target_type_word(TargetType type);

struct Target {
  std::string name;
  TargetType type = TargetType::remotedocker;
  std::string address;        // of remotedocker: host name or IP address
  std::string username;       // of remotedocker
  int port = 22;              // of remotedocker
  std::string identity_file;  // of remotedocker: private key; empty: ssh's own choice and the agent
  std::string ssh_config;  // of remotedocker: read instead of the user's ssh configuration; empty: that one
  std::string image;       // of both docker types
  std::string gpus = "none";  // of both docker types: all, none, or indices: "0,1"

  bool uses_docker() const { return type != TargetType::local; }
  bool is_remote() const { return type == TargetType::remotedocker; }
};

struct EnvironmentVariable {
  std::string name;
  std::string value;
};

struct RunConfig {
  std::string target;
  std::vector<std::string> arguments{"train"};  // ArgumentVector: of this program, without its name
  std::vector<EnvironmentVariable> variables;
  bool prepare = true;  // PrepareEnvironment: prepare first when the image is missing
  bool tracked = true;  // TrackedRun: bring the run's folder back
};

inline constexpr std::string_view kDefaultImage = "mnist-trainer:latest";

// Each gives what is wrong with a value, to be put behind its name, or "" where nothing is:
// "'-oProxyCommand=x': a host name or an IP address, not beginning with '-'".
[[nodiscard]] std::string fault_of_target_name(std::string_view name);
[[nodiscard]] std::string fault_of_address(std::string_view address);
[[nodiscard]] std::string fault_of_username(std::string_view username);
[[nodiscard]] std::string fault_of_image(std::string_view image);
[[nodiscard]] std::string fault_of_gpus(std::string_view gpus);
[[nodiscard]] std::string fault_of_path(std::string_view path);
[[nodiscard]] std::string fault_of_variable_name(std::string_view name);

}  // namespace trainer
