#include "trainer/documents/command_tree.hpp"

namespace trainer {

namespace {

// The parser puts the type's name before a check's: "INT:INT in [1 - 9]" says INT twice.
std::string value_of(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  std::string type = option.get_type_name();
  const std::size_t colon = type.find(':');
  if (colon == std::string::npos) return type;
  const std::string check = type.substr(colon + 1);
  const std::string name = type.substr(0, colon);
  return check.starts_with(name) ? check : name + " " + check;
}

CommandOption option_of(const CLI::Option& option) {
  CommandOption made;
  made.positional = option.get_positional();
  if (made.positional) {
    made.names = {option.get_name(true)};
  } else {
    for (const std::string& name : option.get_snames()) made.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) made.names.push_back("--" + name);
  }
  made.description = option.get_description();
  made.value = value_of(option);
  made.fallback = option.get_default_str();
  made.required = option.get_required();
  made.repeated = option.get_items_expected_max() > 1;
  return made;
}

CommandNode node_of(const CLI::App& app, std::vector<std::string> path) {
  CommandNode node{std::move(path), app.get_description(), {}, {}};
  const std::vector<const CLI::Option*> options = app.get_options(nullptr);
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : options) {
      if (option->get_positional() == positional) node.options.push_back(option_of(*option));
    }
  }
  for (const CLI::App* child : app.get_subcommands(nullptr)) {
    std::vector<std::string> deeper = node.path;
    deeper.push_back(child->get_name());
    node.children.push_back(node_of(*child, std::move(deeper)));
  }
  return node;
}

}  // namespace

std::string CommandNode::joined(const std::string& separator) const {
  std::string text;
  for (const std::string& word : path) text += (text.empty() ? "" : separator) + word;
  return text;
}

CommandNode command_tree(const CLI::App& app) {
  return node_of(app, {app.get_name()});
}

}  // namespace trainer
