// Texts without the names of people and machines, for a bug report.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trainer {

// Stand-ins for what identifies people and machines: "user-1", "host-1", "ipv4-1", "ipv6-1", "mac-1", and "id-1" for a UUID or a
// serial number. The same name always has the same one.
class Anonymiser {
 public:
  // A name of this user or machine (`is_own`) is replaced wherever it stands, and so is a host's that a text reveals.
  std::string learn(const std::string& kind, const std::string& name, bool is_own);
  // The home as a whole path becomes /home/NAME.
  void learn_home(const std::filesystem::path& home);

  // Text may reveal names only after their first place: read all before the result counts.
  [[nodiscard]] std::string replaced(const std::string& text);

 private:
  // The end of the name or of the part of a word, up to `end`, that begins at `place`, and what stands for it.
  std::pair<std::size_t, std::string> name_at(const std::string& text, std::string_view before,
                                              std::size_t place, std::size_t end);
  std::string stand_in(const std::string& kind, const std::string& name);

  std::map<std::string, std::string> known_, everywhere_;  // by the name in lower case
  std::map<std::string, int> counts_;                      // stand-ins of each kind
  std::vector<std::filesystem::path> homes_;
  std::size_t longest_ = 0;  // name in everywhere_
};

}  // namespace trainer
