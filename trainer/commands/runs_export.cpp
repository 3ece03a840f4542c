// trainer runs export: runs as files for TensorBoard; and what a run that goes on adds to its own at its end.
#include <fmt/format.h>
#include <set>

#include "trainer/commands/commands.hpp"
#include "trainer/report/report_network.hpp"
#include "trainer/store/registry.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;

struct RunsExportArguments : InferenceOptions {
  std::vector<std::string> runs;
  std::string tensorboard;
};

// Writes the network of options.run, too.
std::string all_events(const Environment& environment, const InferenceOptions& options,
                       const RunRecord& record, double started) {
  const fs::path folder = options.run;
  std::string all;
  RunEvents events([&](const std::string& event) { all += event; }, record, started);
  events.add_earlier(read_metrics(folder / kMetricsName), started);
  events.add_results(record.results);
  if (const std::string missing = add_network(events, environment, options, true); !missing.empty())
    fmt::print(stderr, "note: {} without all of its weights and pictures: {}\n", folder.filename().string(),
               missing);
  return all;
}

// A folder that has other event files would show two runs as one.
int export_runs(const Environment& environment, const RunsExportArguments& arguments) {
  std::set<fs::path> folders;
  for (const std::string& argument : arguments.runs) {
    InferenceOptions options = arguments;
    options.run = fs::canonical(find_run_folder(argument, environment)).string();
    const RunRecord record = read_run_record(fs::path(options.run) / kRunRecordName);
    const auto started = static_cast<double>(instant_of(record.started).value_or(0));
    const fs::path folder = environment.runs.working_folder / arguments.tensorboard / run_id(options.run);
    const std::string name = event_file_name(started, "export");
    if (!folders.insert(folder).second)
      throw UsageError(fmt::format("two of these runs are named {}: export each into a folder of its own",
                                   folder.filename().string()));
    for (const std::string& other : event_files(folder))
      if (other != name)
        throw FileError(
            fmt::format("cannot export {} into {}: it holds events of its own, {}: name another "
                        "folder with --tensorboard",
                        options.run, folder.string(), other));
    const std::string events = all_events(environment, options, record, started);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error)
      throw FileError(
          fmt::format("cannot make {}: {}", folder.string(), reason_and_next_step(error.value())));
    write_file_durably(folder / name, events);
    fmt::print("{}\n", (folder / name).string());
  }
  return 0;
}

void declare_runs_export(CLI::App& app, RunsExportArguments& arguments) {
  add_tested_runs(app, arguments.runs, arguments);
  app.add_option("--tensorboard", arguments.tensorboard,
                 "folder that gets one for each run, with an event file; replaced if it is there")
      ->required();
}

}  // namespace

PictureAdder picture_adder(const Environment& environment, const DeviceRequest& device) {
  InferenceOptions options;
  options.device.device = device.device;
  options.device.threads = device.threads;
  return [&environment, options](RunEvents& events, const fs::path& folder) mutable {
    options.run = folder.string();
    if (const std::string missing = add_network(events, environment, options, false); !missing.empty())
      fmt::print(stderr, "note: the run has no pictures for TensorBoard: {}\n", missing);
  };
}

Command add_runs_export(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "export", "write runs as event files for TensorBoard",
                     declare_runs_export, export_runs);
}

}  // namespace trainer
