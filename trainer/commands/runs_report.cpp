// trainer runs report: one run or several as a page to read, show and print.
#include <algorithm>
#include <fmt/format.h>

#include "trainer/commands/commands.hpp"
#include "trainer/report/report_page.hpp"
#include "trainer/store/registry.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostRuns = 12;           // more lines in one plot cannot be told apart
constexpr std::size_t kMostNetworks = 4;        // examined on one page
constexpr std::size_t kPictureBytes = 480'000;  // for all misclassified images on a page

struct ReportArguments : InferenceOptions {
  std::vector<std::string> runs;
  std::string out;
};

ReportPage make_page(const Environment& environment, const ReportArguments& arguments) {
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

int report(const Environment& environment, const ReportArguments& arguments) {
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

void declare_report(CLI::App& app, ReportArguments& arguments) {
  add_tested_runs(app, arguments.runs, arguments);
  app.add_option("-o,--out", arguments.out,
                 "the page, one HTML file; replaced if it is there [report.html in the first run's folder]");
}

}  // namespace

void add_tested_runs(CLI::App& app, std::vector<std::string>& runs, InferenceOptions& options) {
  app.add_option(
         "RUN", runs,
         "a run's id, its unique beginning, its folder, 'last' or a registered name; several are compared")
      ->required();
  add_data(app, options.data, "IDX files or folder of pictures to test on [what the run was trained on]");
  add_transpose(app, options.transpose);
  add_device(app, options.device.device, "to test on: auto, cpu, cuda or cuda:N");
  add_threads(app, options.device);
  add_skip_bad_images(app, options.skip_bad_images);
}

Command add_runs_report(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "report",
                     "write a page about runs: curves, errors, filters, configuration", declare_report,
                     report);
}

}  // namespace trainer
