// trainer target: the places where a run can happen, attached, listed, shown, checked, detached.
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "trainer/commands/commands.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

struct AttachArguments {
  Target target;
  std::string type = "remotedocker";
  std::string gpus;
};

TargetType type_named(const std::string& word) {
  if (word == "local") return TargetType::local;
  return word == "localdocker" ? TargetType::localdocker : TargetType::remotedocker;
}

Target target_of(const AttachArguments& arguments) {
  Target target = arguments.target;
  target.type = type_named(arguments.type);
  if (target.is_remote()) {
    if (target.address.empty() || target.username.empty())
      throw UsageError(
          fmt::format("a remotedocker needs --address and --username: trainer target attach {} "
                      "--address HOST --username USER",
                      target.name));
  } else if (!target.address.empty() || !target.username.empty()) {
    throw UsageError(
        fmt::format("--address and --username are for remotedocker, not {}", target_type_word(target.type)));
  }
  target.gpus = arguments.gpus;
  if (target.gpus.empty()) target.gpus = target.is_remote() ? "all" : "none";
  if (const std::string fault = fault_of(target); !fault.empty()) throw UsageError(fault);
  return target;
}

int attach(const Environment& environment, const AttachArguments& arguments) {
  const TargetFolder folder(environment.runs.working_folder);
  const Target target = target_of(arguments);
  folder.attach(target);
  fmt::print("attached {}: {} and {}\n", target.name, folder.file(target.name, TargetFile::compute).string(),
             folder.file(target.name, TargetFile::runconfig).string());
  require_output();
  return 0;
}

std::string place_of(const Target& target) {
  if (!target.is_remote()) return "this machine";
  return fmt::format("{}@{}{}", target.username, target.address,
                     target.port == 22 ? "" : fmt::format(" port {}", target.port));
}

std::string dumped(const nlohmann::ordered_json& json) {
  return to_text(json, 2) + "\n";
}

int list(const Environment& environment, bool as_json) {
  const std::vector<Target> targets = TargetFolder(environment.runs.working_folder).all();
  auto json = nlohmann::ordered_json::array();
  std::string text = fmt::format("{:<16} {:<13} {:<6} {:<28} {}\n", "name", "type", "GPUs", "image", "place");
  for (const Target& target : targets) {
    json.push_back(target_json(target));
    text += fmt::format("{:<16} {:<13} {:<6} {:<28} {}\n", target.name, target_type_word(target.type),
                        target.uses_docker() ? target.gpus : "-", target.uses_docker() ? target.image : "-",
                        place_of(target));
  }
  fmt::print("{}", as_json ? dumped(json) : text);
  require_output();
  return 0;
}

int show(const Environment& environment, const std::string& name, bool as_json) {
  const TargetFolder folder(environment.runs.working_folder);
  const Target target = folder.find(name);
  if (as_json) {
    fmt::print("{}", dumped(target_json(target)));
  } else {
    fmt::print("# {}{}\n{}\n# {}\n{}", folder.file(name, TargetFile::compute).string(),
               target.built_in ? " is not there; built in:" : "", target_text(target, TargetFile::compute),
               folder.file(name, TargetFile::runconfig).string(), target_text(target, TargetFile::runconfig));
  }
  require_output();
  return 0;
}

int check(const Environment& environment, const std::string& name, bool as_json) {
  const Target target = TargetFolder(environment.runs.working_folder).find(name);
  const std::vector<Check> checks = check_target(Connection(target, environment.runtime));
  const bool fit = class_of(checks) == FailureClass::healthy;
  if (as_json) {
    nlohmann::ordered_json json{{"target", name}, {"fit", fit}, {"checks", nlohmann::ordered_json::array()}};
    for (const Check& check : checks)
      json["checks"].push_back({{"what", check.name},
                                {"state", word(check.state)},
                                {"found", check.finding},
                                {"cause", check.cause},
                                {"fix", check.fix}});
    fmt::print("{}", dumped(json));
  } else {
    fmt::print("{}", check_text(checks));
  }
  require_output();
  return fit ? 0 : 1;
}

int detach(const Environment& environment, const std::string& name) {
  TargetFolder(environment.runs.working_folder).detach(name);
  fmt::print("detached {}; its images and containers stay where they are\n", name);
  require_output();
  return 0;
}

Command add_attach(CLI::App& group, const Environment& environment) {
  CLI::App* app = group.add_subcommand("attach", "write the two files of a target");
  const auto arguments = std::make_shared<AttachArguments>();
  Target& target = arguments->target;
  target.image = kDefaultImage;
  app->add_option("NAME", target.name, "of the target")->required();
  app->add_option("--type", arguments->type, "local, localdocker or remotedocker")
      ->check(CLI::IsMember({"local", "localdocker", "remotedocker"}))
      ->capture_default_str();
  app->add_option("--address", target.address, "host name or IP address; a name survives a new address");
  app->add_option("--username", target.username, "who to log in as, with a key; no password is ever taken");
  app->add_option("--port", target.port, "of its ssh server")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app->add_option("--identity-file", target.identity_file, "private key [ssh's own choice, and the agent]");
  app->add_option("--ssh-config", target.ssh_config, "read instead of ~/.ssh/config [none]");
  app->add_option("--image", target.image, "Docker image of this program")->capture_default_str();
  app->add_option("--gpus", arguments->gpus,
                  "all, none, or indices like 0,1 [all of a remotedocker, none of a localdocker]");
  return {app, [arguments, &environment] { return attach(environment, *arguments); }};
}

Command add_list(CLI::App& group, const Environment& environment) {
  CLI::App* app = group.add_subcommand("list", "list the targets");
  const auto json = std::make_shared<bool>(false);
  add_json(*app, *json);
  return {app, [json, &environment] { return list(environment, *json); }};
}

Command add_show(CLI::App& group, const Environment& environment) {
  CLI::App* app = group.add_subcommand("show", "print the two files of a target as they are understood");
  const auto name = std::make_shared<std::string>();
  const auto json = std::make_shared<bool>(false);
  app->add_option("NAME", *name, "of the target")->required();
  add_json(*app, *json);
  return {app, [name, json, &environment] { return show(environment, *name, *json); }};
}

Command add_check(CLI::App& group, const Environment& environment) {
  CLI::App* app =
      group.add_subcommand("check", "see whether a training can run on a target, and what to mend");
  const auto name = std::make_shared<std::string>();
  const auto json = std::make_shared<bool>(false);
  app->add_option("NAME", *name, "of the target")->required();
  add_json(*app, *json);
  return {app, [name, json, &environment] { return check(environment, *name, *json); }};
}

Command add_detach(CLI::App& group, const Environment& environment) {
  CLI::App* app = group.add_subcommand("detach", "remove the two files of a target");
  const auto name = std::make_shared<std::string>();
  app->add_option("NAME", *name, "of the target")->required();
  return {app, [name, &environment] { return detach(environment, *name); }};
}

}  // namespace

Command add_target(CLI::App& app, const Environment& environment) {
  CLI::App* target =
      app.add_subcommand("target", "where runs happen: attach, list, show, check and detach places");
  target->require_subcommand(1);
  const std::vector<Command> all{add_attach(*target, environment), add_list(*target, environment),
                                 add_show(*target, environment), add_check(*target, environment),
                                 add_detach(*target, environment)};
  return {target, [all] { return run_chosen(all); }};
}

}  // namespace trainer
