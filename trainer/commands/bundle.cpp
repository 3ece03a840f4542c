// trainer runs bundle, and the file that trainer doctor --bundle writes too.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <map>
#include <pwd.h>
#include <regex>
#include <unistd.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr auto kRegexFlags = std::regex::ECMAScript | std::regex::icase | std::regex::optimize;

// The kind of a match, by its form; "" for a name, or nothing.
std::string kind_of(const std::smatch& match) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  const std::string text = match.str();
  if (match[1].matched) return "id";
  if (match[2].matched) return "mac";
  if (inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1) return "ipv6";
  return inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 ? "ipv4" : "";
}

// Stand-ins for what identifies people and machines: "user-1", "host-1", "ipv4-1", "ipv6-1", "mac-1", and "id-1" for a UUID or a
// serial number. The same name always has the same one. All patterns are bounded: std::regex recurses into what it matches.
class Anonymiser {
 public:
  // A name that identifies nobody ("root", "localhost", a number, one letter) stays.
  void learn_name(const std::string& kind, const std::string& name) {
    static const std::regex is_common("root|localhost|[^a-z\x80-\xff]*|.", kRegexFlags);
    if (kind != "id" && std::regex_match(name, is_common)) return;
    const std::string own = stand_in(kind, name), label = name.substr(0, name.find('.'));
    if (kind == "host" && !std::regex_match(label, is_common)) known_.try_emplace(lower(label), own);
  }

  // Names that a text reveals by what stands beside them: /home/NAME, USER@HOST, ssh://HOST, "host": "NAME" ...
  void learn(const std::string& text) {
    for (const auto& [kind, pattern] :
         {std::pair("user", R"((?:/home/|/Users/|"username": ?")([^/\s"',;:@]{1,64}))"),
          {"user", R"(([\w.-]{1,64})@\w)"},
          {"host", R"re((?:\w@|ssh://|tcp://|"host": ?"|"address": ?")([\w.-]{0,254}\w)(?![\w.-]{0,64}@))re"},
          {"id", R"(serial(?:.?number)?"?\s{0,40}:\s{0,9}"?(\w{6,40}))"}}) {
      const std::regex names(pattern, kRegexFlags);
      for (std::sregex_iterator match(text.begin(), text.end(), names), end; match != end; ++match)
        learn_name(kind, (*match)[1]);
    }
  }

  // A version of four numbers behind its library's name is no address, and a name before a colon is a JSON key of the report.
  [[nodiscard]] std::string replaced(const std::string& text) {
    std::vector<std::string> names;
    for (const auto& [name, stand_in] : known_)
      names.push_back(std::regex_replace(name, std::regex(R"(\W)"), R"(\$&)") +
                      (stand_in.starts_with("host") ? R"((?:\.[a-z][\w-]{0,62}){0,9})" : ""));
    std::ranges::sort(names, std::greater(), &std::string::size);
    const std::regex pattern(
        fmt::format(
            R"(\b(?:(?:cublas|cudnn|version)\w{{0,9}}\W{{1,9}}[\d.]{{1,40}}|)"
            R"(((?:GPU-|MIG-)?[\da-f]{{8}}(?:-[\da-f]{{4}}){{3}}-[\da-f]{{12}}|GPU-[\da-f-]{{4,40}})|)"
            R"(([\da-f]{{2}}(?:[:-][\da-f]{{2}}){{5}})|)"
            R"([\da-f]{{1,4}}(?::[\da-f]{{0,4}}){{1,7}}:(?:[\da-f]{{1,4}}(?:\.\d{{1,3}}){{0,3}}|:)|)"
            R"(\d{{1,9}}(?:\.\d{{1,9}}){{3,9}}|({}))(?!\w|":))",
            names.empty() ? R"(\b\B)" : fmt::format("{}", fmt::join(names, "|"))),
        kRegexFlags);
    std::string out;
    auto rest = text.cbegin();
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
      const std::smatch& found = *match;
      out.append(rest, found[0].first);
      rest = found[0].second;
      std::string name = lower(found.str());
      while (found[3].matched && !known_.contains(name)) name.resize(name.rfind('.'));  // a host's domain
      const std::string kind = kind_of(found);
      out += kind.empty() && !found[3].matched ? found.str() : stand_in(kind, name);
    }
    return out.append(rest, text.cend());
  }

 private:
  std::string stand_in(const std::string& kind, const std::string& name) {
    const auto [place, is_first] = known_.try_emplace(lower(name));
    if (is_first) place->second = fmt::format("{}-{}", kind, ++counts_[kind]);
    return place->second;
  }

  std::map<std::string, std::string> known_;  // by the name in lower case
  std::map<std::string, int> counts_;         // stand-ins of each kind
};

struct BundledFile {
  fs::path path;  // in the bundle
  std::string contents;
};

// A damaged record is included too: it is just what a bug report is about.
void add_run(std::vector<BundledFile>& files, const fs::path& run, bool weights) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 30;
  std::vector<std::string_view> names{kRunRecordName, kMetricsName, kOutputName};
  if (weights) names.insert(names.end(), {kModelName, kCheckpointName});
  for (const std::string_view name : names) {
    if (!fs::is_regular_file(run / name)) continue;
    const std::vector<std::byte> bytes = read_file(run / name, kMostBytes);
    files.push_back({fs::path("bundle/runs") / fs::canonical(run).filename() / name,
                     std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
  }
}

void anonymise(std::vector<BundledFile>& files) {
  Anonymiser names;
  if (const passwd* user = getpwuid(getuid())) {
    names.learn_name("user", user->pw_name);
    names.learn_name("user", fs::path(user->pw_dir).filename());
  }
  for (const BundledFile& file : files) names.learn(file.contents);
  for (BundledFile& file : files) file = {names.replaced(file.path.string()), names.replaced(file.contents)};
}

// Without the names of their owner.
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
  const std::unique_ptr<GpuProbe> probe = open_gpu_probe();
  const Nvml nvml;
  doctor::Questions questions;
  questions.quick = true;
  const doctor::Facts facts = doctor::gather(environment, questions, *probe, nvml);
  fmt::print("{}\n", write_bundle(environment, options, facts, doctor::check_all(facts)));
  return 0;
}

void declare_bundle(CLI::App& app, BundleOptions& options) {
  app.add_option("RUN", options.run, "a run's id or the beginning of one, its folder, or 'last'")->required();
  app.add_option("-o,--out", options.out, "the .tar.gz file; an existing bundle is overwritten")->required();
  add_bundle_contents(app, options);
}

}  // namespace

std::vector<CLI::Option*> add_bundle_contents(CLI::App& app, BundleOptions& options) {
  CLI::Option* weights = app.add_flag("--weights", options.weights, "with model and checkpoint [off]");
  CLI::Option* anonymous =
      app.add_flag("--anonymous", options.anonymous,
                   "with stand-ins for names of users and hosts, home folders, addresses and UUIDs [off]");
  return {weights->excludes(anonymous), anonymous};
}

std::string write_bundle(const Environment& environment, const BundleOptions& options,
                         const doctor::Facts& facts, const std::vector<Check>& checks) {
  const fs::path path = environment.runs.working_folder / options.out;
  if (fs::is_regular_file(path) && fs::file_size(path) > 0 && std::ifstream(path).get() != 0x1f)
    throw FileError(
        fmt::format("cannot write {}: it is a file, and no .tar.gz: name another path", path.string()));
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
  if (!run.empty()) add_run(files, run, options.weights);
  if (options.anonymous) anonymise(files);
  write_file_durably(path, packed(files));
  return path.string();
}

Command add_runs_bundle(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "bundle",
                     "write one file for a bug report: doctor's report, record, metrics, output",
                     declare_bundle, bundle);
}

}  // namespace trainer
