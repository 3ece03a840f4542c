// trainer runs bundle, and the file that trainer doctor --bundle writes too.
#include <fstream>

#include "trainer/commands/commands.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

namespace {

// The whole file, or the end of a long log.
std::string contents_of(const fs::path& path) {
  constexpr std::uintmax_t kMostBytes = std::uintmax_t{4} << 30, kMostOfLog = std::uintmax_t{16} << 20;
  const std::uintmax_t size = fs::file_size(path);
  if (path.filename() != kOutputName || size <= kMostOfLog) {
    const std::vector<std::byte> bytes = read_file(path, kMostBytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::ifstream file(path);
  std::string end(kMostOfLog, '\0');
  if (!file.seekg(static_cast<std::streamoff>(size - kMostOfLog)).read(end.data(), kMostOfLog))
    throw FileError(fmt::format("cannot read {}", path.string()));
  return fmt::format("[the last 16 MiB of {} bytes]\n", size) + end.substr(end.find('\n') + 1);
}

// A damaged record is included too: it is just what a bug report is about.
void add_run_files(std::vector<BundledFile>& files, const fs::path& run, bool weights) {
  std::vector<std::string_view> names{kRunRecordName, kMetricsName, kOutputName};
  if (weights) names.insert(names.end(), {kModelName, kCheckpointName});
  for (const std::string_view name : names)
    if (fs::is_regular_file(run / name))
      files.push_back(
          {fs::path("bundle/runs") / fs::canonical(run).filename() / name, contents_of(run / name)});
}

// The entries are written without the names of their owner.
std::string packed(const std::vector<BundledFile>& files) {
  const ScratchFolder scratch;
  for (const BundledFile& file : files) {
    fs::create_directories((scratch.path() / file.path).parent_path());
    write_file_durably(scratch.path() / file.path, file.contents);
  }
  std::string archive, said;
  const ProcessEnd end =
      run_process({.words = {"tar", "--create", "--gzip", "--owner=0", "--group=0", "--numeric-owner",
                             "--directory=" + scratch.path().string(), "bundle"},
                   .out = [&](std::string_view text) { archive += text; },
                   .err = [&](std::string_view text) { said += text; }});
  if (end.code != 0) throw FileError("cannot pack the bundle: tar: " + said.substr(0, said.find('\n')));
  return archive;
}

int bundle(const Environment& environment, const BundleOptions& options) {
  (void)find_run_folder(options.run, environment);
  (void)bundle_path(environment, options);
  const std::unique_ptr<GpuProbe> probe = open_gpu_probe();
  const Nvml nvml;
  doctor::Questions questions;
  questions.quick = true;
  const doctor::Facts facts = doctor::gather(environment, questions, *probe, nvml);
  fmt::print("{}\n", write_bundle(environment, options, facts, doctor::check_all(facts)));
  return 0;
}

void declare_bundle(CLI::App& app, BundleOptions& options) {
  add_run(app, options.run);
  CLI::Option* file =
      app.add_option("-o,--out", options.out, "the .tar.gz file; an existing bundle is overwritten");
  add_bundle_contents(app, options, file->required());
}

}  // namespace

std::vector<CLI::Option*> add_bundle_contents(CLI::App& app, BundleOptions& options, CLI::Option* file) {
  file->check([](const std::string& name) { return name.empty() ? "the file has no name" : std::string(); });
  CLI::Option* weights = app.add_flag("--weights", options.weights, "with model and checkpoint [off]");
  CLI::Option* anonymous =
      app.add_flag("--anonymous", options.anonymous,
                   "with stand-ins for names of users and hosts, home folders, addresses and UUIDs [off]");
  return {weights->excludes(anonymous), anonymous};
}

fs::path bundle_path(const Environment& environment, const BundleOptions& options) {
  fs::path path = environment.runs.working_folder / options.out;
  if (fs::is_directory(path))
    throw FileError(fmt::format("cannot write {}: it is a folder: name a file in it", path.string()));
  if (fs::is_regular_file(path) && fs::file_size(path) > 0 && std::ifstream(path).get() != 0x1f)
    throw FileError(
        fmt::format("cannot write {}: it is a file, and no .tar.gz: name another path", path.string()));
  return path;
}

std::string write_bundle(const Environment& environment, const BundleOptions& options,
                         const doctor::Facts& facts, const std::vector<Check>& checks) {
  const fs::path path = bundle_path(environment, options);
  DeviceInfo info;
  info.cpu = facts.cpu;
  info.gpu = facts.gpu.info;
  ordered_json report = doctor::report_json(facts, checks);
  report["versions"] = versions_json(info);
  report["versions"].update({{"cublas", facts.cublas.version}, {"cudnn", facts.cudnn.version}});
  report["machine"] = machine_json(info);
  std::vector<BundledFile> files{{"bundle/doctor.txt", doctor::report_text(facts, checks)},
                                 {"bundle/doctor.json", to_text(report, 2) + "\n"}};
  fs::path run;
  try {
    run = find_run_folder(options.run, environment);
  } catch (const FileError&) {
    if (options.run != "last") throw;
  }
  if (!run.empty()) add_run_files(files, run, options.weights);
  if (options.anonymous) anonymise(files, run);
  write_file_durably(path, packed(files));
  return path.string();
}

const Command kRunsBundle{"bundle",
                          "write one file for a bug report: doctor's report, record, metrics, output",
                          declared<declare_bundle, bundle>};

}  // namespace trainer
