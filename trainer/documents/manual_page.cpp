#include "trainer/documents/manual_page.hpp"

#include <fmt/ranges.h>
#include <vector>

#include "trainer/documents/every_command.man.hpp"

namespace trainer {

namespace {

// Text that troff prints as it is: its escape character, its hyphens, its requests at the beginning of a line.
std::string troff_escaped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    const bool begins = out.empty() || out.back() == '\n';
    if (begins && (letter == '.' || letter == '\'')) out += "\\&";
    if (letter == '\\') {
      out += "\\e";
    } else if (letter == '-') {
      out += "\\-";
    } else {
      out += letter;
    }
  }
  return out;
}

std::string bold(const std::string& text) {
  return "\\fB" + troff_escaped(text) + "\\fR";
}

std::string italic(const std::string& text) {
  return "\\fI" + troff_escaped(text) + "\\fR";
}

// "TEXT", "INT in [1 - 65536]"; nothing for a flag. The parser puts the type's name before a check's: "INT:INT in [1 - 9]"
// says INT twice.
std::string value_of(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  std::string type = option.get_type_name();
  const std::size_t colon = type.find(':');
  if (colon == std::string::npos) return type;
  const std::string name = type.substr(0, colon);
  const std::string check = type.substr(colon + 1);
  return check.starts_with(name) ? check : name + " " + check;
}

std::string synopsis(const CLI::App& command) {
  std::string text = bold(whole_name(command, ' '));
  if (!command.get_subcommands(nullptr).empty()) return text + " " + italic("COMMAND") + " ...";
  text += " [" + italic("OPTIONS") + "]";
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name =
        italic(option->get_name(true)) + (option->get_items_expected_max() > 1 ? "..." : "");
    text += option->get_required() ? " " + name : " [" + name + "]";
  }
  return text;
}

std::string entry(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back(bold("-" + name));
  for (const std::string& name : option.get_lnames()) names.push_back(bold("--" + name));
  if (option.get_positional()) names = {italic(option.get_name(true))};
  std::string title = fmt::format("{}", fmt::join(names, ", "));
  const std::string value = value_of(option);
  if (!option.get_positional() && !value.empty()) title += " " + italic(value);
  const std::string preset = option.get_default_str();
  return fmt::format(".TP\n{}\n{}{}\n", title, troff_escaped(option.get_description()),
                     preset.empty() ? "" : troff_escaped(" [" + preset + "]"));
}

std::string entries(const CLI::App& command, bool positional, const char* title) {
  std::string text;
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional() == positional) text += entry(*option);
  return text.empty() ? "" : fmt::format(".SH {}\n{}", title, text);
}

std::string subcommands(const CLI::App& command) {
  std::string text;
  for (const CLI::App* child : command.get_subcommands(nullptr)) {
    text += fmt::format(".TP\n{}\n{}; see {}(1)\n", bold(child->get_name()),
                        troff_escaped(child->get_description()), bold(whole_name(*child, '-')));
  }
  return text.empty() ? "" : ".SH COMMANDS\n" + text;
}

}  // namespace

std::string whole_name(const CLI::App& command, char between) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : whole_name(*parent, between) + between + command.get_name();
}

std::string manual_page(const CLI::App& command, const ManualSource& source) {
  const std::string name = troff_escaped(whole_name(command, '-'));
  std::string text =
      fmt::format(".TH \"{}\" 1 {} \"trainer {}\" \"User Commands\"\n", name, source.date, source.version);
  text += fmt::format(".SH NAME\n{} \\- {}\n", name, troff_escaped(command.get_description()));
  text += fmt::format(".SH SYNOPSIS\n{}\n", synopsis(command));
  text += subcommands(command) + entries(command, true, "ARGUMENTS") + entries(command, false, "OPTIONS");
  const CLI::App* parent = command.get_parent();
  return text + (parent == nullptr ? kEveryCommand
                                   : fmt::format(".SH SEE ALSO\n{}(1)\n", bold(whole_name(*parent, '-'))));
}

}  // namespace trainer
