// trainer bench: how fast this machine trains, in a form that can be compared; and the comparison. Under a launcher of ranks: how
// fast they exchange gradients, and train together. trainer sprint: its options.
#include "trainer/measure/bench.hpp"

#include <ctime>
#include <unistd.h>

#include "trainer/commands/commands.hpp"
#include "trainer/console/progress.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/device/memory_need.hpp"
#include "trainer/measure/sprint.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/version.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer {

namespace {

struct BenchArguments {
  bool quick = false;
  bool json = false;
  DeviceRequest device;
  std::string out;
  std::vector<std::string> compare;
};

// Throws before two minutes of work, not after them, if `file` cannot be written.
void require_writable(const fs::path& file) {
  if (file.empty()) return;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::error_code ignored;
  if (fs::is_directory(file, ignored))
    throw FileError(fmt::format("--out {}: it is a folder", file.string()));
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    throw FileError(
        fmt::format("--out {}: {}: {}", file.string(), folder.string(), reason_and_next_step(errno)));
  }
}

class Bench {
 public:
  // Only the first one of several ranks prints.
  Bench(const Environment& environment, const BenchArguments& arguments, Communicator* ranks)
      : environment_(environment),
        arguments_(arguments),
        ranks_(ranks),
        is_first_(ranks == nullptr || ranks->rank() == 0),
        console_(stdout, {.quiet = !is_first_,
                          .json = is_first_ && arguments.json,
                          .bar = ranks == nullptr,
                          .messages = is_first_ ? stderr : nullptr}) {}

  int run() {
    record_.date = iso_time(std::time(nullptr));
    record_.command = environment_.arguments;
    record_.settings = bench_settings(arguments_.quick);
    record_.settings.engine = arguments_.device.engine;
    record_.settings.bits = arguments_.device.bits.value_or("fast");
    Environment shipped = environment_;
    shipped.data.reset();
    dataset_ = data::load_dataset(data_folder(shipped, ""));
    record_.settings.data = dataset_.fingerprint;
    DeviceChoice device = open("fp32");
    begin(device);
    if (ranks_ != nullptr) return run_ranks(device.backend->info());
    const DeviceInfo info = device.backend->info();
    const std::vector<std::string> precisions =
        device.bits == Bits::portable ? std::vector<std::string>{"fp32"} : bench_precisions(info);
    work_ = static_cast<double>(precisions.size() * record_.settings.subjects.size());
    for (const std::string& precision : precisions) {
      if (precision != precisions.front()) device = open(precision);
      time_all(*device.backend, precision);
    }
    end(device.backend->info());
    console_.result(bench_table(record_));
    keep(to_json(record_));
    return 0;
  }

 private:
  int run_ranks(const DeviceInfo& info) {
    const ordered_json bench =
        bench_ranks({*ranks_, ranks_bench_settings(arguments_.quick, all_specs(models_folder(environment_))),
                     dataset_, [this] { return std::move(open("fp32").backend); }});
    if (!is_first_) return 0;
    end(info);
    console_.result(ranks_bench_table(bench));
    ordered_json json = to_json(record_);
    json.erase("settings");
    json.erase("results");
    json["kind"] = "bench ranks";
    json.update(bench);
    keep(json);
    return 0;
  }

  DeviceChoice open(const std::string& precision) const {
    DeviceRequest device = arguments_.device;
    device.precision = precision;
    device.plan_cache = environment_.cache;
    return choose_device(device);
  }

  void begin(const DeviceChoice& device) {
    const DeviceInfo info = device.backend->info();
    constexpr std::uint64_t kMost = std::uint64_t{256}
                                    << 20;  // the measurement of the memory's rate has most
    if (!info.gpu) require_address_space("a benchmark", kMost, info.cpu.threads);
    record_.device_name = info.name;
    record_.device = device_json(info, device.gpu_reason);
    record_.machine = machine_json(info);
    record_.versions = versions_json(info);
    record_.commit = kCommit;
    const MachineState before = machine_state(info);
    record_.before = state_json(before);
    record_.was_busy = was_busy(before);
    console_.text(device_report(info, device.gpu_reason));
    if (ranks_ == nullptr)
      console_.text(bench_head(record_.settings));
    else
      console_.text(report_line(
          "bench", fmt::format("{} ranks, each with {} threads", ranks_->size(), info.cpu.threads)));
    console_.text(engine_line(arguments_.device.engine, info));
    console_.text(report_line("before", state_text(before)));
    if (record_.was_busy) {
      console_.warning(
          fmt::format("other programs kept this machine busy just now ({}): what follows may be "
                      "slower than the machine is",
                      state_text(before)));
    }
  }

  void time_all(Backend& backend, const std::string& precision) {
    const DeviceLimit peak = arithmetic_limit(backend, backend.info(), precision);
    for (const BenchSubject& subject : record_.settings.subjects) {
      const double done = static_cast<double>(record_.results.size());
      const int repeats = record_.settings.repeats;
      TrainSettings settings;
      settings.seed = record_.settings.seed;
      settings.batch = subject.batch;
      settings.engine = arguments_.device.engine;
      Setup setup =
          make_setup(find_spec(subject.model, models_folder(environment_)), settings, std::move(dataset_));
      BenchResult result = time_training(setup, backend, record_.settings, subject, [&](int repeats_done) {
        console_.progress((done + (repeats_done + 1.0) / (repeats + 1)) / work_, [&] {
          return fmt::format("{}, batch {}, {}: repeat {}/{}", subject.model, subject.batch, precision,
                             repeats_done, repeats);
        });
      });
      dataset_ = std::move(setup.dataset);
      result.precision = precision;
      result.peak = peak;
      record_.results.push_back(std::move(result));
    }
  }

  void end(const DeviceInfo& info) {
    const MachineState after = machine_state(info);
    record_.after = state_json(after);
    record_.peak_process_bytes = peak_process_bytes();
    record_.seconds = seconds_since(start_);
    console_.text(report_line("after", state_text(after)));
  }

  void keep(const ordered_json& json) {
    console_.json(json);
    if (arguments_.out.empty()) return;
    write_bench_record(arguments_.out, json);
    console_.text(report_line("record", arguments_.out));
  }

  const Clock::time_point start_ = Clock::now();
  const Environment& environment_;
  const BenchArguments& arguments_;
  Communicator* ranks_;
  bool is_first_;
  Console console_;
  data::Dataset dataset_;
  BenchRecord record_;
  double work_ = 1;  // number of trainings
};

int compare(const BenchArguments& arguments) {
  std::vector<NamedRecord> records;
  for (const std::string& path : arguments.compare) records.push_back({path, read_bench_record(path)});
  require_comparable(records);
  if (arguments.json)
    fmt::print("{}\n", comparison_json(records).dump());
  else
    fmt::print("{}", comparison_table(records));
  return 0;
}

int bench(const Environment& environment, const BenchArguments& arguments) {
  if (!arguments.compare.empty()) return compare(arguments);
  if (find_launch(std::getenv).rank == 0) require_writable(arguments.out);
  const std::unique_ptr<Communicator> ranks = join_ranks(environment);
  BenchArguments own = arguments;
  if (ranks != nullptr) share_machine(own.device, places_of(*ranks));
  return Bench(environment, own, ranks.get()).run();
}

void declare_bench(CLI::App& app, BenchArguments& arguments) {
  CLI::Option* compare_option =
      app.add_option("--compare", arguments.compare, "records of bench --out, side by side; nothing is run")
          ->type_name("RECORD")
          ->expected(-2);
  for (CLI::Option* option :
       {app.add_flag("--quick", arguments.quick, "fewer steps and repeats: a first look [off]"),
        add_device(app, arguments.device.device), add_engine(app, arguments.device),
        add_bits(app, arguments.device), add_threads(app, arguments.device),
        app.add_option("--out", arguments.out, "file for the record [none]")})
    option->excludes(compare_option);
  add_json(app, arguments.json, "the record, or the comparison, as one line of JSON [off]");
}

int sprint(const Environment& environment, const SprintOptions& arguments) {
  const std::unique_ptr<Communicator> ranks = join_ranks(environment);
  SprintOptions options = arguments;
  options.ranks = ranks.get();
  options.output.add_pictures = picture_adder(environment, options.device);
  const double fraction = fraction_of("--target", options.target);
  if (options.target <= 1) options.target = 100 * fraction;
  return run_sprint(environment, options);
}

void declare_sprint(CLI::App& app, SprintOptions& options) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option(
      "--model", options.model,
      fmt::format(
          "a shipped network or a YAML file; one whose recipe counts epochs trains one [by --target: up to "
          "99 {} on a CPU ({} with --views 5) and {} on a GPU, beyond {}]",
          sprint_network(99, false, 1), sprint_network(99, false, kViews), sprint_network(99, true, 1),
          sprint_network(99.5, false, 1)));
  app.add_option("--seeds", options.seeds, "trainings from scratch, each with a seed of its own")
      ->check(CLI::Range(1, 100000));
  add_seed(app, "--first-seed", options.first_seed, "the others follow it");
  app.add_option("--target", options.target,
                 "mean accuracy that counts as reached, in per cent or as a fraction");
  add_views(app, options.views);
  add_device(app, options.device.device);
  app.add_option("--precision", options.device.precision, "of products, as for train [as for train]");
  add_engine(app, options.device);
  add_bits(app, options.device);
  add_threads(app, options.device);
  add_data(app, options.data);
  add_transpose(app, options.transpose);
  app.add_flag("--no-process", options.no_process,
               "do not time a process of its own for one seed first [off]");
  add_output(
      app, options.output,
      "folder of the record and the last seed's weights [runs/<date-time>-<model>-x<seeds>-<first seed>]",
      "the result only [off]");
}

}  // namespace

int sprint_again(const Environment& environment, const Rerun& rerun) {
  CLI::App parser;
  SprintOptions options;
  declare_sprint(parser, options);
  parse_arguments(parser, environment);
  options.spec = rerun.spec;
  options.data = rerun.data;
  options.output = rerun.output;
  options.device.wanted = trained_precision(rerun.settings);
  options.no_process = true;
  return sprint(environment, options);
}

const Command kBench{"bench",
                     "time fixed trainings, to compare machines; on several ranks (mpirun), their exchanges",
                     declared<declare_bench, bench>};
const Command kSprint{"sprint", "train from scratch to 99 % against the clock, seed after seed",
                      declared<declare_sprint, sprint>};

}  // namespace trainer
