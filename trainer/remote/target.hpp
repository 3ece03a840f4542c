// A target says where a run happens and what runs there. It is written down in two small YAML files:
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

#include "models/words.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

enum class TargetType : std::uint8_t { local, localdocker, remotedocker };

[[nodiscard]] const char* target_type_word(TargetType type);

void to_json(ordered_json& json, TargetType type);  // as its word

struct Target {
  std::string name;
  bool built_in = false;
  // NAME.compute
  TargetType type = TargetType::remotedocker;
  // Only for remotedocker:
  std::string address;        // host name or IP address
  std::string username;       // empty: as ssh's configuration says
  int port = 0;               // 0: as ssh's configuration says, else 22
  std::string identity_file;  // private key; empty: what ssh chooses, and the agent
  std::string ssh_config;     // replaces the user's ssh configuration; empty: it does not
  // These are for both docker types:
  std::string image;
  std::string gpus = "none";  // all, none, or indices, UUIDs and MIG instances: "0,1", "GPU-4f1e...", "1:0"
  // NAME.runconfig
  Words arguments{"train"};                                   // for this program, without its name
  nlohmann::ordered_map<std::string, std::string> variables;  // environment variables
  bool prepare = true;                                        // prepare first when the image is missing
  bool tracked = true;                                        // bring the run's folder back

  bool uses_docker() const { return type != TargetType::local; }
  bool is_remote() const { return type == TargetType::remotedocker; }
};

inline constexpr std::string_view kDefaultImage = "mnist-trainer:latest";

enum class TargetFile : std::uint8_t { compute, runconfig };

// The text of a file. Equal values give equal bytes, and reading them gives the values back.
[[nodiscard]] std::string target_text(const Target& target, TargetFile which);

// Reads a file's text into `target`, whose name is known; `file` is used in errors only. Throws SpecError with file:line:column
// for unknown, repeated and missing keys (a key that is not for the target's type is unknown) and for wrong values.
void read_target(const std::string& text, const std::string& file, TargetFile which, Target& target);

[[nodiscard]] ordered_json target_json(const Target& target);

// Each returns what is wrong, or "". The fault of a target begins with an option: "--address '-x': a host name or ...".
[[nodiscard]] std::string fault_of(const Target& target);
[[nodiscard]] std::string fault_of_target_name(std::string_view name);

// Whether `text` begins with an ASCII letter, a digit or one of `more_first`, and goes on with these or one of `more`.
[[nodiscard]] bool is_spelled(std::string_view text, std::string_view more_first, std::string_view more = "");

// The folder targets/ in the working folder. Two targets exist without files, local (a process of this machine) and docker
// (its Docker engine); a file with such a name replaces them.
class TargetFolder {
 public:
  explicit TargetFolder(const fs::path& working_folder) : path_(working_folder / "targets") {}

  // Throws UsageError for an unknown name, with the known ones, and SpecError for a wrong file. Without a runconfig file
  // the target has the default one.
  [[nodiscard]] Target find(const std::string& name) const;
  // All names, the built-in ones first, the others sorted.
  [[nodiscard]] Words names() const;

  // Writes both files. Throws UsageError if one exists already or the name is not free, FileError.
  void attach(const Target& target) const;
  // Removes both files. Throws UsageError if there is none, FileError.
  void detach(const std::string& name) const;

  [[nodiscard]] fs::path file(const std::string& name, TargetFile which) const;

 private:
  [[noreturn]] void refuse_unknown(const std::string& name) const;

  fs::path path_;
};

}  // namespace trainer
