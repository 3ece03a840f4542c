// Targets: the records of runs and benches, and the expressions that choose runs.
#include "tests/fuzz/support.hpp"
#include "trainer/measure/bench.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/store/registry.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer::fuzz {

namespace {

// The bytes of a file of the repository.
std::string stored(const char* path) {
  const std::vector<std::byte> bytes =
      read_file(std::filesystem::path(TRAINER_SOURCE_DIR) / path, std::uint64_t{1} << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A third of what the commands of `trainer runs` print of a run.
void print(const std::filesystem::path& folder, std::size_t third) {
  const KnownRun run = read_known_run(folder);
  std::vector<KnownRun> runs{run, run};
  if (third == 0) {
    (void)run_text(run);
    (void)runs_table(runs);
    (void)live_view(run, 1.0, "note", {});
    (void)status_line(run);
    (void)disagreement_note(runs);
  } else if (third == 1) {
    (void)to_text(run_json(run), 2);
    (void)to_text(runs_json(runs));
    (void)runs_csv(runs);
    for (const char* field : {"started", "accuracy", "host"}) sort_runs(runs, field);
  } else {
    (void)comparison_text(runs, compare_runs(runs, {}), {});
    (void)differences_text(differences(runs));
  }
}

// The same of a finished run of version 0.1.0, one of whose files is the input.
bool prints(ByteSpan input, std::string_view name) {
  static const std::string record = stored("tests/golden/version_0.1.0/runs/finished/run.json");
  static const std::string metrics = stored("tests/golden/version_0.1.0/runs/finished/metrics.jsonl");
  const std::filesystem::path folder =
      file_of(name == kRunRecordName ? text_of(input) : record, std::string(kRunRecordName)).parent_path();
  file_of(name == kMetricsName ? text_of(input) : metrics, std::string(kMetricsName));
  return is_taken<FileError>([&] { print(folder, input.size() % 3); });
}

std::vector<KnownRun> two_runs() {
  std::vector<KnownRun> runs;
  for (const char* name : {"finished", "sprint"})
    runs.push_back(
        read_known_run(std::filesystem::path(TRAINER_SOURCE_DIR) / "tests/golden/version_0.1.0/runs" / name));
  return runs;
}

}  // namespace

bool fuzz_run(ByteSpan input) {
  return prints(input, kRunRecordName);
}

bool fuzz_metrics(ByteSpan input) {
  return prints(input, kMetricsName);
}

bool fuzz_registry(ByteSpan input) {
  static const std::filesystem::path folder = file_of(ByteSpan()).parent_path() / "runs";
  std::filesystem::create_directories(folder / "registry/digits/2");
  const std::string text = text_of(input);
  const std::size_t border = std::min(text.find('\x1e'), text.size());
  file_of(text.substr(0, border), "runs/registry/digits/stages.json");
  file_of(border < text.size() ? text.substr(border + 1) : "", "runs/registry/digits/2/version.json");
  const RunEnvironment environment{folder.parent_path(), folder.string()};
  const std::vector<RegisteredVersion> versions = registered_versions(environment);
  require(versions.size() == 1, "one version is registered, readable or not");
  for (const char* words : {"digits", "digits@2", "digits@production", "digits@staging"})
    (void)is_taken<FileError>([&] { (void)find_version(words, environment); });
  return versions.front().problem.empty();
}

bool fuzz_bench(ByteSpan input) {
  static const std::filesystem::path known =
      std::filesystem::path(TRAINER_SOURCE_DIR) / "tests/fuzz/seeds/bench/one.json";
  const std::filesystem::path path = file_of(input);
  return is_taken<FileError, UsageError>([&] {
    const BenchRecord record = read_bench_record(path);
    (void)bench_head(record.settings);
    (void)bench_table(record);
    (void)to_text(to_json(record));
    const std::vector<NamedRecord> records{{"known", read_bench_record(known)}, {"input", record}};
    require_comparable({records[1], records[1]});
    (void)comparison_table({records[1], records[1]});
    require_comparable(records);
    (void)comparison_table(records);
    (void)comparison_json(records).dump();
  });
}

bool fuzz_where(ByteSpan input) {
  static const std::vector<KnownRun> known = two_runs();
  const std::string text = text_of(input);
  std::vector<KnownRun> runs = known;
  (void)is_taken<UsageError>([&] { sort_runs(runs, text); });
  return is_taken<UsageError>([&] { filter_runs(runs, text); });
}

}  // namespace trainer::fuzz
