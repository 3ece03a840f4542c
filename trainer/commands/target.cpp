// trainer target: attaches, lists, shows, checks, exports and detaches the places where a run can happen.
#include "trainer/commands/commands.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/remote/submission.hpp"

namespace trainer {

namespace {

struct AttachArguments {
  Target target;
  std::string type = "remotedocker";
};

Target target_of(const AttachArguments& arguments) {
  Target target = arguments.target;
  for (const TargetType type : {TargetType::local, TargetType::localdocker, TargetType::remotedocker})
    if (arguments.type == target_type_word(type)) target.type = type;
  if (target.is_remote()) {
    if (target.address.empty())
      throw UsageError(fmt::format(
          "a remotedocker needs --address: trainer target attach {} --address HOST --username USER",
          target.name));
  } else if (!target.address.empty() || !target.username.empty()) {
    throw UsageError(
        fmt::format("--address and --username are for remotedocker, not {}", target_type_word(target.type)));
  }
  if (target.gpus.empty()) target.gpus = target.is_remote() ? "all" : "none";
  if (const std::string fault = fault_of(target); !fault.empty()) throw UsageError(fault);
  return target;
}

int attach_target(const Environment& environment, const AttachArguments& arguments) {
  const TargetFolder folder(environment.runs.working_folder);
  const Target target = target_of(arguments);
  folder.attach(target);
  fmt::print("attached {}: {} and {}\n", target.name, folder.file(target.name, TargetFile::compute).string(),
             folder.file(target.name, TargetFile::runconfig).string());
  return 0;
}

std::string place_text(const Target& target) {
  if (!target.is_remote()) return "this machine";
  const bool usual = target.port == 0 || target.port == 22;
  return place_of(target) + (usual ? "" : fmt::format(" port {}", target.port));
}

int list_targets(const Environment& environment, const bool& as_json) {
  const TargetFolder folder(environment.runs.working_folder);
  auto json = ordered_json::array();
  std::string text = fmt::format("{:<16} {:<13} {:<6} {:<28} {}\n", "name", "type", "GPUs", "image", "place");
  for (const std::string& name : folder.names()) {
    Target target;
    try {
      target = folder.find(name);
    } catch (const std::runtime_error& error) {  // a damaged file hides no other target
      fmt::print(stderr, "note: {} is not listed: {}\n", name, error.what());
      continue;
    }
    json.push_back(target_json(target));
    text += fmt::format("{:<16} {:<13} {:<6} {:<28} {}\n", target.name, target_type_word(target.type),
                        target.uses_docker() ? target.gpus : "-", target.uses_docker() ? target.image : "-",
                        place_text(target));
  }
  if (as_json) return print_json(json);
  fmt::print("{}", text);
  return 0;
}

int show_target(const Environment& environment, const NamedOptions& arguments) {
  const std::string& name = arguments.name;
  const TargetFolder folder(environment.runs.working_folder);
  const Target target = folder.find(name);
  if (arguments.json) return print_json(target_json(target));
  fmt::print("# {}{}\n{}\n# {}\n{}", folder.file(name, TargetFile::compute).string(),
             target.built_in ? " is not there; built in:" : "", target_text(target, TargetFile::compute),
             folder.file(name, TargetFile::runconfig).string(), target_text(target, TargetFile::runconfig));
  return 0;
}

// A row for each check: its name, how it is, what was found; the fix is below it.
std::string table_of(const std::vector<Check>& checks) {
  constexpr std::string_view kWords[] = {"good", "WARNING", "FAILED", "unknown"};
  std::string text;
  const auto add = [&](std::string_view name, std::string_view state, std::string_view value) {
    text += fmt::format("{:<18} {:<8} {}\n", name, state, value);
  };
  for (const Check& check : checks) {
    add(check.name, kWords[static_cast<std::size_t>(check.state)],
        check.cause.empty() ? check.finding : check.finding + ": " + check.cause);
    if (!check.fix.empty()) add("", "fix:", check.fix);
  }
  return text;
}

int print_check(const Environment& environment, const NamedOptions& arguments) {
  const std::string& name = arguments.name;
  const Target target = TargetFolder(environment.runs.working_folder).find(name);
  const std::vector<Check> checks = check_target(Connection(target, environment.runtime));
  const bool fit = class_of(checks) == FailureClass::healthy;
  if (arguments.json) {
    ordered_json json{{"target", name}, {"fit", fit}, {"checks", ordered_json::array()}};
    for (const Check& check : checks)
      json["checks"].push_back({{"what", check.name},
                                {"state", word(check.state)},
                                {"found", check.finding},
                                {"cause", check.cause},
                                {"fix", check.fix}});
    print_json(json);
  } else {
    fmt::print("{}", table_of(checks));
  }
  return fit ? 0 : 1;
}

struct TargetExportOptions {
  std::string name, out;
};

int export_target(const Environment& environment, const TargetExportOptions& arguments) {
  Target target = TargetFolder(environment.runs.working_folder).find(arguments.name);
  target.arguments = with_config_file(std::move(target.arguments));
  const std::string job = azureml_job(target, environment.runs.working_folder);
  if (!arguments.out.empty()) write_file_durably(environment.runs.working_folder / arguments.out, job);
  fmt::print("{}", arguments.out.empty() ? job : arguments.out + "\n");
  return 0;
}

int detach_target(const Environment& environment, const std::string& name) {
  TargetFolder(environment.runs.working_folder).detach(name);
  fmt::print("detached {}; its images and containers stay where they are\n", name);
  return 0;
}

void declare_name(CLI::App& app, std::string& name) {
  app.add_option("NAME", name, "of the target")->required();
}

void declare_named(CLI::App& app, NamedOptions& arguments) {
  declare_name(app, arguments.name);
  add_json(app, arguments.json);
}

void declare_target_export(CLI::App& app, TargetExportOptions& arguments) {
  declare_name(app, arguments.name);
  app.add_flag("--azureml")->required()->description("as a command job of Azure ML's CLI v2");
  app.add_option("-o,--out", arguments.out, "the file; replaced if it is there [print it]");
}

void declare_target_attach(CLI::App& app, AttachArguments& arguments) {
  Target& target = arguments.target;
  target.image = kDefaultImage;
  target.gpus = "";
  declare_name(app, target.name);
  app.add_option("--type", arguments.type, "local, localdocker or remotedocker")
      ->check(CLI::IsMember({"local", "localdocker", "remotedocker"}));
  app.add_option("--address", target.address, "host name or IP address; a name survives a new address");
  app.add_option("--username", target.username,
                 "who to log in as, with a key; no password is ever taken [ssh's configuration]");
  app.add_option("--port", target.port, "of its ssh server [ssh's configuration, 22]")
      ->check(CLI::Range(1, 65535));
  app.add_option("--identity-file", target.identity_file, "private key [ssh's configuration, and the agent]");
  app.add_option("--ssh-config", target.ssh_config, "read instead of ~/.ssh/config [none]");
  app.add_option("--image", target.image, "Docker image of this program");
  app.add_option(
      "--gpus", target.gpus,
      "all, none, or GPUs: indices, UUIDs, MIG instances [all of a remotedocker, none of a localdocker]");
}

}  // namespace

const Command kTargetAttach{"attach", "write the two files of a target",
                            declared<declare_target_attach, attach_target>};
const Command kTargetList{"list", "list the targets", declared<declare_json, list_targets>};
const Command kTargetShow{"show", "print the two files of a target as they are understood",
                          declared<declare_named, show_target>};
const Command kTargetCheck{"check", "see whether a training can run on a target, and what to mend",
                           declared<declare_named, print_check>};
const Command kTargetExport{"export", "write a target's run for a cluster's own tool",
                            declared<declare_target_export, export_target>};
const Command kTargetDetach{"detach", "remove the two files of a target",
                            declared<declare_name, detach_target>};

}  // namespace trainer
