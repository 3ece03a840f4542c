// Runs for other viewers, with what their networks answer here: trainer runs report makes a page to read, show and print of one or
// several, trainer runs export files for TensorBoard; and what a run that goes on adds to its own such files at its end.
#include <algorithm>
#include <set>

#include "trainer/commands/commands.hpp"
#include "trainer/report/report_network.hpp"
#include "trainer/report/report_page.hpp"
#include "trainer/store/registry.hpp"

namespace trainer {

namespace {

struct TestedRuns : InferenceOptions {
  std::vector<std::string> runs;
  std::string out;  // the page, or the folder of the event files
};

void add_tested_runs(CLI::App& app, TestedRuns& options) {
  app.add_option(
         "RUN", options.runs,
         "a run's id, its unique beginning, its folder, 'last' or a registered name; several are compared")
      ->required();
  add_data(app, options.data, "IDX files or folder of pictures to test on [what the run was trained on]");
  add_transpose(app, options.transpose);
  add_device(app, options.device.device, "to test on: auto, cpu, cuda or cuda:N");
  add_threads(app, options.device);
  add_skip_bad_images(app, options.skip_bad_images);
}

constexpr std::size_t kMostRuns = 12;           // more lines in one plot cannot be told apart
constexpr std::size_t kMostNetworks = 4;        // examined on one page
constexpr std::size_t kPictureBytes = 480'000;  // for all misclassified images on a page

ReportPage make_page(const Environment& environment, const TestedRuns& arguments) {
  ReportPage page;
  for (const std::string& argument : arguments.runs)
    page.runs.push_back(read_known_run(find_run_folder(argument, environment)));
  const std::size_t networks = std::min(page.runs.size(), kMostNetworks);
  for (std::size_t i = 0; i < networks; ++i)
    page.networks.push_back(examine_network(environment, page.runs[i], arguments, kPictureBytes / networks));
  return page;
}

// Also reports what the page lacks, while the user can still fix it.
void print_missing(const ReportPage& page) {
  for (std::size_t i = 0; i < page.networks.size(); ++i) {
    const ExaminedNetwork& network = page.networks[i];
    if (!network.problem.empty())
      fmt::print(stderr, "note: {} without its network: {}\n", page.runs[i].id, network.problem);
    else if (!network.test_problem.empty())
      fmt::print(stderr, "note: {} without its test: {} (--data names the images)\n", page.runs[i].id,
                 network.test_problem);
  }
}

int report(const Environment& environment, const TestedRuns& arguments) {
  if (arguments.runs.size() > kMostRuns)
    throw UsageError(fmt::format("{} runs; at most {} fit on a page", arguments.runs.size(), kMostRuns));
  const ReportPage page = make_page(environment, arguments);
  const KnownRun& first = page.runs.front();
  fs::path path = environment.runs.working_folder / arguments.out;
  if (arguments.out.empty()) {  // a registered version stays as it is
    const bool is_version = fs::exists(first.folder / kVersionName);
    path =
        is_version ? environment.runs.working_folder / (first.id + "-report.html") : first.folder / kPageName;
  }
  write_file_durably(path, report_html(page));
  print_missing(page);
  fmt::print("{}\n", path.string());
  return 0;
}

void declare_report(CLI::App& app, TestedRuns& arguments) {
  add_tested_runs(app, arguments);
  app.add_option("-o,--out", arguments.out,
                 "the page, one HTML file; replaced if it is there [report.html in the first run's folder]");
}

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
int export_runs(const Environment& environment, const TestedRuns& arguments) {
  std::set<fs::path> folders;
  for (const std::string& argument : arguments.runs) {
    InferenceOptions options = arguments;
    options.run = fs::canonical(find_run_folder(argument, environment)).string();
    const RunRecord record = read_run_record(fs::path(options.run) / kRunRecordName);
    const auto started = static_cast<double>(instant_of(record.started).value_or(0));
    const fs::path folder = environment.runs.working_folder / arguments.out / run_id(options.run);
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

void declare_runs_export(CLI::App& app, TestedRuns& arguments) {
  add_tested_runs(app, arguments);
  app.add_option("--tensorboard", arguments.out,
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

const Command kRunsReport{"report", "write a page about runs: curves, errors, filters, configuration",
                          declared<declare_report, report>};
const Command kRunsExport{"export", "write runs as event files for TensorBoard",
                          declared<declare_runs_export, export_runs>};

}  // namespace trainer
