// trainer runs promote, and trainer registry: networks under names of their own.
#include "trainer/store/registry.hpp"

#include <utility>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/store/safetensors.hpp"

namespace trainer {

namespace {

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
    json.update({{"new", is_new}, {"note", note}});
    return print_json(json);
  }
  fmt::print("{}{}  {}, {}, of {}{}\n", version.text(),
             version.stage.empty() ? "" : fmt::format(" ({})", version.stage), version.model,
             accuracy_of(version), version.run, is_new ? "" : "; it had these weights already");
  if (!note.empty()) fmt::print("{}\n", note);
  return 0;
}

void declare_promote(CLI::App& app, PromoteArguments& arguments) {
  add_run(app, arguments.run, "a run's id or the beginning of one, its folder, 'last', or a version");
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

int list_versions(const Environment& environment, const bool& as_json) {
  const std::vector<RegisteredVersion> all = registered_versions(environment.runs);
  ordered_json json = ordered_json::array();
  TextTable table({{"version"}, {"stage"}, {">accuracy"}, {"network"}, {"promoted"}, {"run"}});
  for (const RegisteredVersion& one : all) {
    json.push_back(version_json(one));
    if (!one.problem.empty()) fmt::print(stderr, "note: {}: {}\n", one.text(), one.problem);
    table.add({one.text(), one.stage.empty() ? "-" : one.stage, accuracy_of(one), one.model,
               one.promoted.substr(0, 16), one.run});
  }
  if (as_json) return print_json(json);
  fmt::print(
      "{}", all.empty()
                ? fmt::format("no network is registered in {} yet: 'trainer runs promote RUN NAME' does it\n",
                              runs_folder(environment.runs).string())
                : table.text(kWideGap));
  return 0;
}

int show_version(const Environment& environment, const NamedOptions& arguments) {
  const auto version = find_version(arguments.name, environment.runs);
  if (!version) refuse_name(arguments.name, environment);
  static_cast<void>(registered_folder(version->text(), environment.runs));  // checks the hash
  if (arguments.json) return print_json(version_json(*version));
  fmt::print("{}{}{}{}{}{}{}{}", report_line("version", version->text()),
             report_line("stage", version->stage.empty() ? "none" : version->stage),
             report_line("network", version->model), report_line("accuracy", accuracy_of(*version)),
             report_line("promoted", version->promoted), report_line("run", version->run),
             report_line("SHA-256", version->sha256 + ", unchanged"),
             report_line("folder", version->folder.string()));
  return 0;
}

int retire_version(const Environment& environment, const NamedOptions& arguments) {
  if (!find_version(arguments.name, environment.runs)) refuse_name(arguments.name, environment);
  RegisteredVersion version = retire(arguments.name, environment.runs);
  const std::string before = std::exchange(version.stage, "retired");
  const bool had_stage = !before.empty() && before != version.stage;
  if (arguments.json) return print_json(version_json(version));
  fmt::print("{} is retired{}; {} still opens it\n", version.text(),
             had_stage ? fmt::format(", and no version is in {} now", before) : "", version.text());
  return 0;
}

void declare_version(CLI::App& app, NamedOptions& arguments) {
  app.add_option("NAME", arguments.name,
                 "NAME@VERSION, NAME@staging or NAME@production; show also NAME, its newest version in use")
      ->required();
  add_json(app, arguments.json);
}

}  // namespace

const Command kRunsPromote{"promote", "register a run's network under a name, as its next version",
                           declared<declare_promote, promote_run>};

const Command kRegistryList{"list", "every version, one a line", declared<declare_json, list_versions>};
const Command kRegistryShow{"show", "one version: stage, accuracy, origin, hash",
                            declared<declare_version, show_version>};
const Command kRegistryRetire{"retire", "take a version out of use; its files stay",
                              declared<declare_version, retire_version>};

}  // namespace trainer
