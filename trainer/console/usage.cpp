// From CLI11's errors to one line.
#include "trainer/console/usage.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "models/words.hpp"

namespace trainer {

namespace {

Words commands_of(const CLI::App& app) {
  Words names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

Words options_of(const CLI::App& app) {
  Words names;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_lnames().empty()) names.push_back("--" + option->get_lnames().front());
  }
  return names;
}

// The word that was left over: an option rather than the value behind it.
std::string left_over(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining();
  const auto option = std::ranges::find_if(words, [](const auto& word) { return word.starts_with('-'); });
  if (option != words.end()) return option->substr(0, option->find('='));
  return words.empty() ? "" : words.front();
}

std::string one_line(std::string text) {
  for (char& c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code < ' ' || code == 0x7f) c = ' ';
  }
  return text;
}

// `app` is the program, or a command that has commands of its own.
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
