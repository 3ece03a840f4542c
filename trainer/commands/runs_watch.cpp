// trainer runs watch: shows a run that another process writes, from the files of its folder alone, until the run ends. Ctrl-C has its
// default effect: it ends this program.
#include <algorithm>
#include <fmt/format.h>
#include <poll.h>

#include "trainer/commands/commands.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/runs/live_view.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;

struct WatchArguments {
  std::string run = "last";
  bool json = false;
};

void pause_between_looks() {
  ::poll(nullptr, 0, 500);
}

// A new run's folder is there before its record, and over NFS a file that is replaced may be unreadable for a moment.
auto patiently(const auto& action) {
  for (int looks_left = 5;; --looks_left) {
    try {
      return action();
    } catch (const FileError&) {
      if (looks_left == 0) throw;
    }
    pause_between_looks();
  }
}

class Watch {
 public:
  Watch(const Environment& environment, const WatchArguments& arguments)
      : folder_(patiently([&] { return find_run_folder(arguments.run, environment); })),
        screen_(screen_of(stdout)),
        console_(stdout, {.json = arguments.json}),
        draws_(screen_.cursor && !arguments.json) {}

  int run() {
    for (;; pause_between_looks()) {
      read();
      const std::string status = run_.status();
      is_over_ = status != "running" && status != "submitted" && !is_elsewhere();
      if (draws_)
        draw();
      else
        print_new();
      (void)require_output(0);
      if (is_over_) return status == "finished" || status == "stopped" ? 0 : 1;
    }
  }

 private:
  bool is_elsewhere() const { return run_.copied && was_written_elsewhere(run_.record, folder_); }
  bool waits_for_target() const {
    return run_.record.status == RunStatus::kRunning && target_name(run_.record) != "local";
  }

  // Who fetches a run from its target closes the record before it releases the folder, so the record is read again.
  void read() {
    const auto look = [&] {
      if (std::error_code ignored; !fs::exists(folder_, ignored))
        throw std::runtime_error(folder_.string() + " was deleted or moved while it was watched");
      return read_known_run(folder_);
    };
    run_ = patiently(look);
    if (!waits_for_target() || is_being_written(folder_)) return;
    run_ = patiently(look);
    if (waits_for_target())
      throw UsageError(
          fmt::format("{0} is on {1}, and nothing fetches it: trainer runs attach {0} shows its "
                      "output and brings its folder back",
                      run_.id, target_name(run_.record)));
  }

  // The GPU is another machine's if the run is copied or on a target.
  std::string notes() {
    if (is_over_) return "";
    if (waits_for_target()) return "its evaluations are fetched at its end\n";
    if (run_.copied) return "another machine writes it; whether its process still runs is not seen here\n";
    const auto bus_id = find_text(run_.record.device, {"gpu", "pci_bus_id"});
    if (bus_id && !gpu_state_) gpu_state_ = gpu_state_reader(*bus_id);
    const std::string gpu = gpu_state_ ? gpu_state_() : "";
    return gpu.empty() ? "" : gpu + "\n";
  }

  // Since the last evaluation was written down; nothing if the run is over.
  std::optional<double> waited() const {
    std::error_code error;
    const auto written = fs::last_write_time(folder_ / kMetricsName, error);
    if (is_over_ || error) return std::nullopt;
    return std::chrono::duration<double>(fs::file_time_type::clock::now() - written).count();
  }

  // Over the earlier picture. A terminal that has another width has broken its lines, and everything is drawn anew. The picture is one
  // column narrower than the terminal, since some wrap after the last one.
  void draw() {
    const int columns = screen_.columns();
    const std::string view =
        live_view(run_, waited(), notes(), {columns - 1, screen_.rows(), screen_.unicode});
    std::string text = fmt::format("\x1b[{}A\r", lines_);
    if (lines_ == 0 || columns != columns_) text = lines_ == 0 ? "" : "\x1b[H\x1b[2J";
    for (const char c : view) text += c == '\n' ? "\x1b[K\n" : std::string(1, c);
    fmt::print("{}\x1b[J", text);
    columns_ = columns;
    lines_ = std::ranges::count(view, '\n');
  }

  // A resumed run makes the evaluations after its checkpoint again.
  void print_new() {
    for (printed_ = std::min(printed_, run_.epochs.size()); printed_ < run_.epochs.size(); ++printed_) {
      console_.line(evaluation_line(run_, run_.epochs[printed_]));
      print_event(console_, "epoch", epoch_json(run_.epochs[printed_]));
    }
    if (!is_over_) return;
    console_.line(status_line(run_));
    print_event(console_, "end",
                {{"run", run_.id}, {"status", run_.status()}, {"reason", run_.record.reason}});
  }

  fs::path folder_;
  Screen screen_;
  Console console_;
  bool draws_;
  KnownRun run_;
  bool is_over_ = false;
  std::function<std::string()> gpu_state_;
  std::size_t printed_ = 0;   // evaluations
  std::ptrdiff_t lines_ = 0;  // of the picture on the screen
  int columns_ = 0;           // of the terminal then
};

int watch(const Environment& environment, const WatchArguments& arguments) {
  return Watch(environment, arguments).run();
}

void declare_watch(CLI::App& app, WatchArguments& arguments) {
  app.add_option("RUN", arguments.run, "a run's id or the beginning of one, its folder, or 'last'")
      ->capture_default_str();
  add_json(app, arguments.json, "one JSON value a line for each evaluation, and one at the end [off]");
}

}  // namespace

Command add_runs_watch(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "watch", "show a run while it goes on, until it ends", declare_watch,
                     watch);
}

}  // namespace trainer
