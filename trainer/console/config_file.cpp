// Reads the file with yaml-cpp, whose marks give the place of each word.
#include "trainer/console/config_file.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "models/words.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

class Reader {
 public:
  Reader(std::string file, const OptionNames& names) : file_(std::move(file)), names_(names) {}

  std::vector<std::string> arguments(const YAML::Node& root) {
    if (root.IsNull()) return {};
    if (!root.IsMap()) fail(root, "expected lines of 'option: value'");
    std::vector<std::string> arguments;
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string name = scalar(entry.first);
      if (!seen.insert(name).second) fail(entry.first, fmt::format("'{}' stands here twice", name));
      if (names_.flags.contains(name)) {
        if (flag(entry.second, name)) arguments.push_back("--" + name);
      } else if (names_.values.contains(name)) {
        arguments.push_back(fmt::format("--{}={}", name, scalar(entry.second)));
      } else {
        fail(entry.first, unknown_word("option", name, all_names()));
      }
    }
    return arguments;
  }

 private:
  [[noreturn]] void fail(const YAML::Node& node, const std::string& what) const {
    const YAML::Mark mark = node.Mark();
    throw UsageError(fmt::format("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what));
  }

  Words all_names() const {
    Words all(names_.values.begin(), names_.values.end());
    all.insert(all.end(), names_.flags.begin(), names_.flags.end());
    return all;
  }

  std::string scalar(const YAML::Node& node) const {
    if (!node.IsScalar()) fail(node, "expected one value");
    return node.Scalar();
  }

  bool flag(const YAML::Node& node, const std::string& name) const {
    const std::string text = scalar(node);
    if (text != "true" && text != "false") fail(node, fmt::format("{}: true or false, not '{}'", name, text));
    return text == "true";
  }

  std::string file_;
  const OptionNames& names_;
};

std::string contents(const std::filesystem::path& file) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 10;
  try {
    const std::vector<std::byte> bytes = read_file(file, kMostBytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  } catch (const FileError& error) {
    throw UsageError(fmt::format("--config: {}", error.what()));
  }
}

std::vector<std::string> arguments_from(const std::string& file, const OptionNames& names) {
  try {
    return Reader(file, names).arguments(YAML::Load(contents(file)));
  } catch (const YAML::Exception& error) {
    throw UsageError(
        fmt::format("{}:{}:{}: not YAML: {}", file, error.mark.line + 1, error.mark.column + 1, error.msg));
  }
}

// Takes --config out of `words`; its last value, or nothing. One without a value stays, for the parser to
// refuse.
std::string take_config(std::vector<std::string>& words) {
  std::string file;
  for (auto word = words.begin(); word != words.end();) {
    if (word->starts_with("--config=")) {
      file = word->substr(std::string_view("--config=").size());
      word = words.erase(word);
    } else if (*word == "--config" && word + 1 != words.end()) {
      file = *(word + 1);
      word = words.erase(word, word + 2);
    } else {
      ++word;
    }
  }
  return file;
}

}  // namespace

std::vector<std::string> with_config_lines(std::vector<std::string> words, const OptionNames& names) {
  const std::string file = take_config(words);
  if (file.empty()) return words;
  const std::vector<std::string> lines = arguments_from(file, names);
  words.insert(words.begin() + 1, lines.begin(), lines.end());
  return words;
}

}  // namespace trainer
