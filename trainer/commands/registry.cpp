// trainer runs promote, and trainer registry: networks under names of their own.
#include "trainer/store/registry.hpp"

#include <fmt/format.h>
#include <utility>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/store/safetensors.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

std::string accuracy_of(const RegisteredVersion& version) {
  return version.accuracy ? fmt::format("{:.2f} %", 100 * *version.accuracy) : "-";
}

ordered_json version_json(const RegisteredVersion& version) {
  return {{"name", version.name},
          {"version", version.version},
          {"stage", version.stage},
          {"accuracy", trainer::json_of(version.accuracy)},
          {"model", version.model},
          {"promoted", version.promoted},
          {"run", version.run},
          {"sha256", version.sha256},
          {"folder", version.folder.string()}};
}

// The message has the choices: a name that is not registered is a mistake, or a registry in another folder.
[[noreturn]] void refuse_name(const std::string& words, const Environment& environment) {
  Words names;
  for (const RegisteredVersion& version : registered_versions(environment.runs))
    if (names.empty() || names.back() != version.name) names.push_back(version.name);
  throw FileError(fmt::format(
      "no network is registered as '{}' in {}: {}", words, runs_folder(environment.runs).string(),
      names.empty() ? "there is none yet (trainer runs promote RUN NAME)" : "there are: " + joined(names)));
}

struct PromoteArguments {
  std::string run, name, stage;
  bool json = false;
};

int promote_run(const Environment& environment, const PromoteArguments& arguments) {
  const KnownRun run = read_known_run(find_run_folder(arguments.run, environment));
  static_cast<void>(SafetensorsFile::read(model_file(run.folder)));  // checks the hash in it
  const auto [version, is_new, note] = promote(run.folder,
                                               {.name = arguments.name,
                                                .stage = arguments.stage,
                                                .run = run.id,
                                                .model = run.record.model,
                                                .accuracy = run.accuracy()},
                                               environment.runs);
  if (arguments.json) {
    ordered_json json = version_json(version);
    json["new"] = is_new;
    json["note"] = note;
    fmt::print("{}\n", to_text(json, 2));
    return 0;
  }
  fmt::print("{}{}  {}, {}, of {}{}\n", version.text(),
             version.stage.empty() ? "" : fmt::format(" ({})", version.stage), version.model,
             accuracy_of(version), version.run, is_new ? "" : "; it had these weights already");
  if (!note.empty()) fmt::print("{}\n", note);
  return 0;
}

void declare_promote(CLI::App& app, PromoteArguments& arguments) {
  app.add_option("RUN", arguments.run, "a run's id or the beginning of one, its folder, 'last', or a version")
      ->required();
  app.add_option("NAME", arguments.name,
                 "of the network, new or known: a letter, then letters, digits, - _ .")
      ->required();
  app.add_option("--stage", arguments.stage,
                 "staging or production: the version that has it so far loses it [none]")
      ->check(CLI::IsMember({"staging", "production"}));
  add_json(app, arguments.json);
  app.footer(
      "afterwards NAME (its newest version), NAME@VERSION and NAME@production stand for it wherever a "
      "command takes a run");
}

struct VersionsArguments {
  bool json = false;
};

int list_versions(const Environment& environment, const VersionsArguments& arguments) {
  const std::vector<RegisteredVersion> all = registered_versions(environment.runs);
  ordered_json json = ordered_json::array();
  TextTable table({{"version"}, {"stage"}, {">accuracy"}, {"network"}, {"promoted"}, {"run"}});
  for (const RegisteredVersion& one : all) {
    json.push_back(version_json(one));
    if (!one.problem.empty()) fmt::print(stderr, "note: {}: {}\n", one.text(), one.problem);
    table.add({one.text(), one.stage.empty() ? "-" : one.stage, accuracy_of(one), one.model,
               one.promoted.substr(0, 16), one.run});
  }
  if (arguments.json)
    fmt::print("{}\n", to_text(json, 2));
  else if (all.empty())
    fmt::print("no network is registered in {} yet: 'trainer runs promote RUN NAME' does it\n",
               runs_folder(environment.runs).string());
  else
    fmt::print("{}", table.text(kWideGap));
  return 0;
}

struct VersionArguments {
  std::string version;
  bool json = false;
};

int show_version(const Environment& environment, const VersionArguments& arguments) {
  const auto version = find_version(arguments.version, environment.runs);
  if (!version) refuse_name(arguments.version, environment);
  static_cast<void>(registered_folder(version->text(), environment.runs));  // checks the hash
  if (arguments.json) {
    fmt::print("{}\n", to_text(version_json(*version), 2));
    return 0;
  }
  fmt::print("{}{}{}{}{}{}{}{}", report_line("version", version->text()),
             report_line("stage", version->stage.empty() ? "none" : version->stage),
             report_line("network", version->model), report_line("accuracy", accuracy_of(*version)),
             report_line("promoted", version->promoted), report_line("run", version->run),
             report_line("SHA-256", version->sha256 + ", unchanged"),
             report_line("folder", version->folder.string()));
  return 0;
}

int retire_version(const Environment& environment, const VersionArguments& arguments) {
  if (!find_version(arguments.version, environment.runs)) refuse_name(arguments.version, environment);
  RegisteredVersion version = retire(arguments.version, environment.runs);
  const std::string before = std::exchange(version.stage, "retired");
  const bool had_stage = !before.empty() && before != version.stage;
  if (arguments.json)
    fmt::print("{}\n", to_text(version_json(version), 2));
  else
    fmt::print("{} is retired{}; {} still opens it\n", version.text(),
               had_stage ? fmt::format(", and no version is in {} now", before) : "", version.text());
  return 0;
}

void declare_version(CLI::App& app, VersionArguments& arguments) {
  app.add_option("NAME", arguments.version,
                 "NAME@VERSION, NAME@staging or NAME@production; show also NAME, its newest version in use")
      ->required();
  add_json(app, arguments.json);
}

}  // namespace

Command add_runs_promote(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "promote",
                     "register a run's network under a name, as its next version", declare_promote,
                     promote_run);
}

Command add_registry(CLI::App& app, const Environment& environment) {
  CLI::App* registry =
      app.add_subcommand("registry", "registered networks and their versions: list, show, retire");
  registry->require_subcommand(1);
  const std::vector<Command> all{
      add_command<VersionsArguments>(
          *registry, environment, "list", "every version, one a line",
          [](CLI::App& list, VersionsArguments& arguments) { add_json(list, arguments.json); },
          list_versions),
      add_command(*registry, environment, "show", "one version: stage, accuracy, origin, hash",
                  declare_version, show_version),
      add_command(*registry, environment, "retire", "take a version out of use; its files stay",
                  declare_version, retire_version),
  };
  return {registry, [all] { return run_chosen(all); }};
}

}  // namespace trainer
