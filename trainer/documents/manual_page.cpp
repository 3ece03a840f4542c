#include "trainer/documents/manual_page.hpp"

#include <fmt/format.h>

namespace trainer {

namespace {

// Text that troff prints as it is: its escape character, its hyphens, its requests at a line's begin.
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

std::string synopsis(const CommandNode& command) {
  std::string text = bold(command.joined(" "));
  if (!command.children.empty()) return text + " " + italic("COMMAND") + " ...";
  text += " [" + italic("OPTIONS") + "]";
  for (const CommandOption& option : command.options) {
    if (!option.positional) continue;
    const std::string name = italic(option.names.front()) + (option.repeated ? "..." : "");
    text += option.required ? " " + name : " [" + name + "]";
  }
  return text;
}

std::string entry(const CommandOption& option) {
  std::string names;
  for (const std::string& name : option.names) {
    names += (names.empty() ? "" : ", ") + (option.positional ? italic(name) : bold(name));
  }
  if (!option.positional && !option.value.empty()) names += " " + italic(option.value);
  const std::string fallback = option.fallback.empty() ? "" : troff_escaped(" [" + option.fallback + "]");
  return fmt::format(".TP\n{}\n{}{}\n", names, troff_escaped(option.description), fallback);
}

std::string entries(const CommandNode& command, bool positional, const char* title) {
  std::string text;
  for (const CommandOption& option : command.options) {
    if (option.positional == positional) text += entry(option);
  }
  return text.empty() ? "" : fmt::format(".SH {}\n{}", title, text);
}

std::string commands(const CommandNode& command) {
  std::string text;
  for (const CommandNode& child : command.children) {
    text += fmt::format(".TP\n{}\n{}; see {}(1)\n", bold(child.path.back()), troff_escaped(child.description),
                        bold(child.joined("-")));
  }
  return text.empty() ? "" : ".SH COMMANDS\n" + text;
}

// What holds for every command, on the page of the program alone.
const char* const kCommon =
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBTRAINER_DATA\\fR\nfolder of the data set, instead of the installed MNIST\n"
    ".TP\n\\fBTRAINER_RUNS\\fR\nfolder of the runs, instead of runs/ in the working folder\n"
    ".TP\n\\fBTRAINER_CACHE\\fR\nfolder for what is slow to find out again, instead of mnist\\-trainer/ in "
    "the user's cache\n"
    ".SH EXIT STATUS\n"
    "0 on success, 1 on failure, 2 for wrong usage, 128 and the signal's number after a signal.\n"
    ".SH EXAMPLES\n"
    ".TP\n\\fBtrainer train\\fR\ntrains the network \\(lqquick\\(rq on MNIST and says how fast\n"
    ".TP\n\\fBtrainer eval last\\fR\ntests what was trained last\n"
    ".TP\n\\fBtrainer bench\\fR\ntimes fixed trainings, to compare machines\n";

std::string other_pages(const CommandNode& command) {
  if (command.path.size() == 1) return "";
  CommandNode parent = command;
  parent.path.pop_back();
  return fmt::format(".SH SEE ALSO\n{}(1)\n", bold(parent.joined("-")));
}

}  // namespace

std::string manual_page(const CommandNode& command, const ManualSource& source) {
  const std::string name = command.joined("-");
  std::string text = fmt::format(".TH \"{}\" 1 {} \"trainer {}\" \"User Commands\"\n", troff_escaped(name),
                                 source.date, source.version);
  text += fmt::format(".SH NAME\n{} \\- {}\n", troff_escaped(name), troff_escaped(command.description));
  text += fmt::format(".SH SYNOPSIS\n{}\n", synopsis(command));
  text += commands(command);
  text += entries(command, true, "ARGUMENTS");
  text += entries(command, false, "OPTIONS");
  if (command.path.size() == 1) text += kCommon;
  return text + other_pages(command);
}

}  // namespace trainer
