// trainer runs watch: shows a run that another process writes, from the files of its folder alone, until the run ends; a run on a
// target from those in its container. Ctrl-C has its default effect: it ends this program.
#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "trainer/commands/commands.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

constexpr int kPause = 500, kPauseOfTarget = 2000;  // milliseconds between two looks

// A new run's folder is there before its record, over NFS a file that is replaced may be unreadable for a moment, and a connection may
// be lost for as long.
auto patiently(const auto& action) {
  for (int looks_left = 5;; --looks_left) {
    try {
      return action();
    } catch (const std::runtime_error&) {
      if (looks_left == 0) throw;
    }
    ::poll(nullptr, 0, kPause);
  }
}

// A file without a name, which needs no removal: Ctrl-C ends this program at any time.
class InMemory {
 public:
  explicit InMemory(const std::string& text) : file_(::memfd_create("copy", MFD_CLOEXEC)) {
    if (::write(file_.number(), text.data(), text.size()) != std::ssize(text))
      throw FileError("a run's file cannot be kept in memory: " + reason_and_next_step(errno));
  }
  [[nodiscard]] fs::path path() const { return fmt::format("/proc/self/fd/{}", file_.number()); }

 private:
  Descriptor file_;
};

class Watch {
 public:
  Watch(const Environment& environment, const NamedOptions& arguments)
      : environment_(environment),
        folder_(patiently([&] { return find_run_folder(arguments.name, environment); })),
        screen_(screen_of(stdout)),
        console_(stdout, {.json = arguments.json}),
        draws_(screen_.cursor && !arguments.json) {}

  int run() {
    for (;; ::poll(nullptr, 0, is_on_target_ ? kPauseOfTarget : kPause)) {
      patiently([this] { read(); });
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

  void read() {
    if (std::error_code ignored; !fs::exists(folder_, ignored))
      throw std::runtime_error(folder_.string() + " was deleted or moved while it was watched");
    run_ = read_known_run(folder_);
    is_on_target_ = run_.record.status == RunStatus::kRunning && target_name(run_.record) != "local";
    if (is_on_target_) look_at_target();
  }

  // Replaces what is known here by what the run's own files say. Who follows the run may fetch it meanwhile and remove the
  // container: the next look finds it here.
  void look_at_target() {
    if (!connection_) connection_.emplace(target_of(environment_, run_.record), environment_.runtime);
    const std::string id = container_of(folder_, run_.record);
    const ProcessOutput state = connection_->capture(state_words(id));
    if (state.code != 0) connection_->fail(state);
    const auto record = peek_at_run(*connection_, id, kRunRecordName);
    if (!record) return;
    RunRecord own = read_run_record(InMemory(*record).path());
    own.target = run_.record.target;
    const InMemory metrics(peek_at_run(*connection_, id, kMetricsName).value_or(""));
    run_.epochs = read_epochs(metrics.path(), own.data);
    if (std::exchange(seen_, run_.epochs.size()) != run_.epochs.size()) changed_ = Clock::now();
    run_.killed = own.status == RunStatus::kRunning && state.out.find("\"exited\"") != std::string::npos;
    run_.record = std::move(own);
  }

  // The GPU is another machine's if the run is copied or on a target.
  std::string notes() {
    if (is_on_target_ && is_over_)
      return fmt::format("its folder is on {}: trainer runs attach {} fetches it\n", target_name(run_.record),
                         run_.id);
    if (is_over_ || is_on_target_) return "";
    if (run_.copied) return "another machine writes it; whether its process still runs is not seen here\n";
    const auto bus_id = find_text(run_.record.device, {"gpu", "pci_bus_id"});
    if (bus_id && !gpu_state_) gpu_state_ = gpu_state_reader(*bus_id);
    const std::string gpu = gpu_state_ ? gpu_state_() : "";
    return gpu.empty() ? "" : gpu + "\n";
  }

  // Since the last evaluation was written down; nothing if the run is over.
  std::optional<double> waited() const {
    if (is_over_) return std::nullopt;
    if (is_on_target_) return seconds_since(changed_);
    std::error_code error;
    const auto written = fs::last_write_time(folder_ / kMetricsName, error);
    if (error) return std::nullopt;
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
    console_.text(notes());
    print_event(console_, "end",
                {{"run", run_.id}, {"status", run_.status()}, {"reason", run_.record.reason}});
  }

  const Environment& environment_;
  fs::path folder_;
  Screen screen_;
  Console console_;
  bool draws_;
  KnownRun run_;
  bool is_on_target_ = false;
  std::optional<Connection> connection_;
  std::size_t seen_ = 0;  // evaluations of a run on a target, and since when
  Clock::time_point changed_ = Clock::now();
  bool is_over_ = false;
  std::function<std::string()> gpu_state_;
  std::size_t printed_ = 0;   // evaluations
  std::ptrdiff_t lines_ = 0;  // the picture on the screen has so many
  int columns_ = 0;           // the terminal had so many then
};

int watch(const Environment& environment, const NamedOptions& arguments) {
  return Watch(environment, arguments).run();
}

void declare_watch(CLI::App& app, NamedOptions& arguments) {
  arguments.name = "last";
  add_run(app, arguments.name)->required(false);
  add_json(app, arguments.json, "one JSON value a line for each evaluation, and one at the end [off]");
}

}  // namespace

const Command kRunsWatch{"watch", "show a run while it goes on, until it ends",
                         declared<declare_watch, watch>};

}  // namespace trainer
