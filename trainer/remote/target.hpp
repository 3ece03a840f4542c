// A target: where a run happens and what runs there, as two small YAML files say it.
//   targets/NAME.compute     the machine: type, address, user, image, GPUs
//   targets/NAME.runconfig   the run: arguments, variables, whether to prepare, whether to keep a record
// One table in target.cpp lists their keys; it reads and writes the files, checks `trainer target attach`, and gives the
// JSON. Address, user and the rest end up on the command lines of ssh and docker, so each is held to a narrow alphabet
// and never begins with '-'. No password is taken, stored or sent: there are keys and an agent only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

enum class TargetType : std::uint8_t { local, localdocker, remotedocker };

[[nodiscard]] const char* target_type_word(TargetType type);

void to_json(nlohmann::ordered_json& json, TargetType type);  // its word

struct Target {
  std::string name;
  bool built_in = false;
  // NAME.compute
  TargetType type = TargetType::remotedocker;
  std::string address;        // of remotedocker: host name or IP address
  std::string username;       // of remotedocker
  int port = 22;              // of remotedocker
  std::string identity_file;  // of remotedocker: private key; empty: ssh's own choice and the agent
  std::string ssh_config;  // of remotedocker: read instead of the user's ssh configuration; empty: that one
  std::string image;       // of both docker types
  std::string gpus = "none";  // of both docker types: all, none, or indices: "0,1"
  // NAME.runconfig
  std::vector<std::string> arguments{"train"};                // of this program, without its name
  nlohmann::ordered_map<std::string, std::string> variables;  // of its environment
  bool prepare = true;                                        // prepare first when the image is missing
  bool tracked = true;                                        // bring the run's folder back

  bool uses_docker() const { return type != TargetType::local; }
  bool is_remote() const { return type == TargetType::remotedocker; }
};

inline constexpr std::string_view kDefaultImage = "mnist-trainer:latest";

enum class TargetFile : std::uint8_t { compute, runconfig };

// The text of a file, the same bytes for the same values; reading it gives those values back.
[[nodiscard]] std::string target_text(const Target& target, TargetFile which);

// Reads a file's text into `target`, whose name is known; `file` is used in errors only. Unknown, repeated and missing
// keys, values of another kind or alphabet: SpecError with file:line:column. A key that the type has no use for is unknown.
void read_target(const std::string& text, const std::string& file, TargetFile which, Target& target);

[[nodiscard]] nlohmann::ordered_json target_json(const Target& target);

// What is wrong with a value of NAME.compute, with its option in front ("--address '-x': a host name or ..."), or "".
[[nodiscard]] std::string fault_of(const Target& target);
[[nodiscard]] std::string fault_of_target_name(std::string_view name);  // what is wrong with it, or ""

// Whether `text` begins with an ASCII letter, a digit or one of `more_first`, and goes on with those or one of `more`.
[[nodiscard]] bool is_spelled(std::string_view text, std::string_view more_first, std::string_view more = "");

// targets/ of the working folder. Two targets exist without files, local (a process of this machine) and docker (its
// Docker engine); a file of that name takes their place.
class TargetFolder {
 public:
  explicit TargetFolder(const std::filesystem::path& working_folder) : path_(working_folder / "targets") {}

  // Throws UsageError for a name that is not there, with those that are; SpecError for a wrong file. Without
  // a runconfig file the target has the usual one.
  [[nodiscard]] Target find(const std::string& name) const;
  // All of them by name, the built-in ones first. Throws as find does.
  [[nodiscard]] std::vector<Target> all() const;

  // Writes both files. Throws UsageError where one is there already or the name is not free, FileError.
  void attach(const Target& target) const;
  // Removes both. Throws UsageError where there is none, FileError.
  void detach(const std::string& name) const;

  [[nodiscard]] std::filesystem::path file(const std::string& name, TargetFile which) const;

 private:
  [[nodiscard]] std::vector<std::string> names() const;
  [[noreturn]] void refuse_unknown(const std::string& name) const;

  std::filesystem::path path_;
};

}  // namespace trainer
