#include "trainer/console/command_line.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "models/words.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

Words commands_of(const CLI::App& app) {
  Words names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

Words options_of(const CLI::App& app, const std::string& dashes = "--") {
  Words names;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_lnames().empty()) names.push_back(dashes + option->get_lnames().front());
  return names;
}

std::string contents(const std::string& option, const std::string& file) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 10;
  try {
    const std::vector<std::byte> bytes = read_file(file, kMostBytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  } catch (const FileError& error) {
    throw UsageError(fmt::format("{}: {}", option, error.what()));
  }
}

// The nodes of yaml-cpp have marks, which give the place of each word.
std::string place_of(const std::string& file, const YAML::Mark& mark) {
  return fmt::format("{}:{}:{}", file, mark.line + 1, mark.column + 1);
}

// The options of a file as words of the command line.
Words config_words(const std::string& file, const CLI::App& command) {
  Words known = options_of(command, "");
  std::erase_if(known, [](const std::string& name) { return name == "help" || name == "config"; });
  Words words;
  for (const auto& [name, value, place] : setting_lines("--config", file, "option", known)) {
    if (command.get_option("--" + name)->get_expected_min() > 0)
      words.push_back(fmt::format("--{}={}", name, value));
    else if (value == "true")
      words.push_back("--" + name);
    else if (value != "false")
      throw UsageError(fmt::format("{}: {}: true or false, not '{}'", place, name, value));
  }
  return words;
}

// Removes --config from `words` and returns its last value, or "". One without a value stays, for the parser to refuse.
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

// The word that the parser did not expect: an option rather than its value.
std::string left_over(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining();
  const auto option = std::ranges::find_if(words, [](const auto& word) { return word.starts_with('-'); });
  if (option != words.end()) return option->substr(0, option->find('='));
  return words.empty() ? "" : words.front();
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, is_control, ' ');
  return text;
}

// `app` is the program, or a command with subcommands.
std::string without_command(const CLI::App& app) {
  const std::string word = left_over(app);
  if (word.starts_with('-')) return unknown_word("option", word, options_of(app)) + ", behind a command";
  if (!word.empty()) return unknown_word("command", word, commands_of(app));
  return fmt::format("a command is missing: one of {}{}", joined(commands_of(app)),
                     app.get_parent() == nullptr ? "; to begin: trainer train" : "");
}

std::string of_command(const CLI::App& command, const CLI::ParseError& error) {
  const std::string word = left_over(command);
  if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::ExtrasError) || word.empty())
    return one_line(error.what());
  if (word.starts_with('-')) return unknown_word("option", word, options_of(command));
  return fmt::format("unexpected argument {}", in_quotes(word));
}

}  // namespace

std::vector<SettingLine> setting_lines(const std::string& option, const std::string& file, const char* what,
                                       const std::vector<std::string>& known) {
  const auto fail = [&](const YAML::Mark& mark, const std::string& why) {
    throw UsageError(fmt::format("{}: {}", place_of(file, mark), why));
  };
  std::vector<SettingLine> lines;
  const auto scalar = [&](const YAML::Node& node) {
    if (!node.IsScalar()) fail(node.Mark(), "expected one value");
    return node.Scalar();
  };
  try {
    const YAML::Node root = YAML::Load(contents(option, file));
    if (!root.IsNull() && !root.IsMap())
      fail(root.Mark(), fmt::format("expected lines of '{}: value'", what));
    for (const auto& entry : root) {
      const std::string name = scalar(entry.first);
      if (std::ranges::find(lines, name, &SettingLine::name) != lines.end())
        fail(entry.first.Mark(), fmt::format("'{}' stands here twice", name));
      if (std::ranges::find(known, name) == known.end())
        fail(entry.first.Mark(), unknown_word(what, name, known));
      lines.push_back({name, scalar(entry.second), place_of(file, entry.second.Mark())});
    }
  } catch (const YAML::Exception& error) {
    fail(error.mark, "not YAML: " + error.msg);
  }
  return lines;
}

std::vector<std::string> with_config_lines(std::vector<std::string> words, const CLI::App& command) {
  const std::string file = take_config(words);
  if (file.empty()) return words;
  const Words lines = config_words(file, command);
  words.insert(words.begin() + 1, lines.begin(), lines.end());
  return words;
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string words = "trainer";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    words += " " + command->get_name();
  }
  const std::string more = fmt::format(" ({} --help says more)", words);
  if (!commands_of(*command).empty()) return without_command(*command) + more;
  return (command->remaining().empty() && !app.remaining().empty()
              ? fmt::format("unexpected argument {}", in_quotes(left_over(app)))
              : of_command(*command, error)) +
         more;
}

}  // namespace trainer
