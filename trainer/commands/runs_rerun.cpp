// trainer runs rerun: a run trained again, and how the two compare; trainer runs diff: the weights of two runs.
#include <fmt/ranges.h>

#include "trainer/commands/commands.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/runs/drift.hpp"

namespace trainer {

namespace {

struct RerunArguments {
  std::string run;
  std::string data;
  std::string device;
  std::optional<int> threads;
  OutputOptions output;
};

Rerun rerun_of(const KnownRun& run, const RerunArguments& arguments, std::string& folder) {
  const RunRecord& record = run.record;
  const auto refuse = [&](const char* why) {
    throw UsageError(fmt::format("runs rerun: {} {}", run.id, why));
  };
  const std::string command = record.command.size() > 1 ? record.command[1] : "";
  if (command != "train" && command != "sprint")
    refuse("was not trained here: its record has no train or sprint");
  const auto steps = find_count(record.results, {"step"});
  const bool is_over = run.sprint || steps;
  if (!is_over) refuse("has no results to compare with: it did not end; go on with it by train --resume");
  if (steps == 0) refuse("trained no step");
  const fs::path path = run.folder / kRunRecordName;
  const ordered_json* settings = find_value(record.recipe, {"settings"});
  Rerun rerun{
      .spec = parse_spec(record.spec_text, path.string()),
      .settings = settings_from_json(settings == nullptr ? ordered_json::object() : *settings, path.string()),
      .steps = steps == find_count(record.results, {"total_steps"}) ? 0 : steps.value_or(0),
      .data = arguments.data.empty() ? record.data.path : arguments.data,
      .output = arguments.output};
  rerun.output.folder = &folder;
  return rerun;
}

int print_drift(const Environment& environment, const KnownRun& before, const std::string& folder,
                const OutputOptions& output) {
  const Drift drift = drift_between(before, read_known_run(folder), models_folder(environment));
  fmt::print(
      "{}", output.json ? to_text(drift_json(drift)) + "\n" : (output.quiet ? "" : "\n") + drift_text(drift));
  return drift.status();
}

int rerun_run(const Environment& environment, const RerunArguments& arguments) {
  const KnownRun before = read_known_run(find_run_folder(arguments.run, environment));
  static_cast<void>(model_file(before.folder));  // before anything is trained
  std::string folder;
  const Rerun rerun = rerun_of(before, arguments, folder);
  Environment again = environment;
  again.arguments = without_option(before.record.command, "--out");  // that folder is its own
  if (!arguments.device.empty())
    again.arguments.insert(again.arguments.end(), {"--device", arguments.device});
  if (arguments.threads)
    again.arguments.insert(again.arguments.end(), {"--threads", std::to_string(*arguments.threads)});
  int status = 0;
  try {
    status = before.record.command[1] == "train" ? train_again(again, rerun) : sprint_again(again, rerun);
  } catch (const CLI::ParseError& error) {
    throw UsageError(fmt::format("runs rerun: this program does not know the command of {}, '{}': {}",
                                 before.id, fmt::join(before.record.command, " "), error.what()));
  }
  if (status != 0 || folder.empty()) return status;  // only the first of several ranks has a folder
  return print_drift(environment, before, folder, arguments.output);
}

void declare_rerun(CLI::App& app, RerunArguments& arguments) {
  add_run(app, arguments.run);
  add_data(app, arguments.data, "the data set, wherever it is now [where it was]");
  add_device(app, arguments.device, "auto, cpu, cuda or cuda:N [as the run's command says]");
  app.add_option("--threads", arguments.threads, "of the CPU engine [as the run's command says]");
  app.add_option("--out", arguments.output.out, "folder of the new run [as for train]");
  add_json(app, arguments.output.json, "one JSON value a line, the drift last [off]");
  app.add_flag("--quiet", arguments.output.quiet, "print the drift only [off]");
  app.footer(
      "exit status: 0 the weights have the same bits; 3 other bits, and the accuracy is within three\n"
      "standard errors of what the network reaches over seeds, or nothing is known of it; 4 it is beyond");
}

struct DiffArguments {
  std::string a, b;
  bool json = false;
};

int diff_runs(const Environment& environment, const DiffArguments& arguments) {
  const auto read = [&](const std::string& run) {
    return SafetensorsFile::read(model_file(resolve_run(run, environment.runs)));
  };
  const SafetensorsFile a = read(arguments.a);
  const SafetensorsFile b = read(arguments.b);
  const std::vector<TensorDifference> all = weight_differences(a, b);
  if (arguments.json) {
    ordered_json json{{"kind", "weight differences"}, {"a", a.path().string()}, {"b", b.path().string()}};
    json.update(weight_differences_json(all));
    return print_json(json);
  }
  fmt::print("A  {}\nB  {}\n{}", a.path().string(), b.path().string(), weight_differences_text(all));
  return 0;
}

void declare_diff(CLI::App& app, DiffArguments& arguments) {
  app.add_option("A", arguments.a, "a run's folder or id, 'last', or a .safetensors file")->required();
  app.add_option("B", arguments.b, "what it is compared with, likewise")->required();
  add_json(app, arguments.json);
}

}  // namespace

const Command kRunsRerun{"rerun", "train a run again, here, and tell what drifted",
                         declared<declare_rerun, rerun_run>};

const Command kRunsDiff{"diff", "the largest change of each tensor between two runs",
                        declared<declare_diff, diff_runs>};

}  // namespace trainer
