// A curve is a row of columns of blocks, each cut to eighths of a character.
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <sstream>
#include <vector>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/progress.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr int kEighths = 8;
constexpr std::array kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array kAscii{" ", ".", ".", ":", ":", "|", "|", "#", "#"};

// A sprint's record lists its seeds only at its end.
bool is_sprint(const KnownRun& run) {
  return run.sprint || (run.record.command.size() > 1 && run.record.command[1] == "sprint");
}

// How many evaluations the run makes; nothing if that is not known. Where the recipe counts steps, the first evaluation tells the
// length of an epoch.
std::optional<std::uint64_t> planned_evaluations(const KnownRun& run) {
  const auto epochs = find_count(run.record.recipe, {"epochs"});
  const auto steps = find_count(run.record.recipe, {"steps"});
  if (is_sprint(run)) return std::nullopt;
  if (epochs || !steps || run.epochs.empty() || run.epochs.front().step == 0) return epochs;
  return (*steps - 1) / run.epochs.front().step + 1;
}

// "epoch 3 of 10"
std::string place_text(const KnownRun& run, std::uint64_t evaluation) {
  const auto planned = planned_evaluations(run);
  return fmt::format("{} {}{}", is_sprint(run) ? "seed" : "epoch", evaluation,
                     planned ? fmt::format(" of {}", std::max(*planned, evaluation)) : "");
}

std::optional<double> seconds_left(const KnownRun& run, std::optional<double> waited) {
  const auto planned = planned_evaluations(run);
  const std::size_t done = run.epochs.size();
  if (!waited || !planned || done == 0) return std::nullopt;
  if (done >= *planned) return 0;
  const std::size_t warm_up = done > 1 ? 1 : 0;
  double each = 0;
  for (std::size_t i = warm_up; i < done; ++i)
    each += (run.epochs[i].seconds + run.epochs[i].evaluation_seconds) / static_cast<double>(done - warm_up);
  return each * static_cast<double>(*planned - done - 1) + std::max(each - *waited, 0.0);
}

// What `value` gives of each evaluation: a title, and columns of blocks whose range is written on their left.
std::string curve(const KnownRun& run, double (*value)(const EpochRecord&), const char* title,
                  const char* format, int height, const ViewSize& size) {
  constexpr int kLabel = 8, kGap = 2, kWidestColumn = 4;
  std::vector<double> values, finite;
  for (const EpochRecord& epoch : run.epochs) values.push_back(value(epoch));
  std::ranges::copy_if(values, std::back_inserter(finite),
                       [](double number) { return std::isfinite(number); });
  const auto text_of = [&](double number) { return fmt::format(fmt::runtime(format), number); };
  std::string text = fmt::format("{} {}\n", title, text_of(values.back()));
  if (finite.empty()) return text;
  const auto [least, most] = std::ranges::minmax(finite);
  const int count = static_cast<int>(values.size());
  const int width = std::max(size.columns - kLabel - kGap, 1);
  const int shown = count < width ? count * std::min(width / count, kWidestColumn) : width;
  for (int row = height - 1; row >= 0; --row) {
    const std::string label = row == 0 ? text_of(least) : row == height - 1 ? text_of(most) : "";
    text += fmt::format("{:>{}}{:{}}", label, kLabel, "", kGap);
    for (int column = 0; column < shown; ++column) {
      const double number = values[static_cast<std::size_t>(std::int64_t{column} * count / shown)];
      const double part = most > least ? (number - least) / (most - least) : 0.5;
      const int level = std::isfinite(number) && std::isfinite(part)
                            ? 1 + static_cast<int>(part * (kEighths * height - 1))
                            : 0;
      const auto block = static_cast<std::size_t>(std::clamp(level - kEighths * row, 0, kEighths));
      text += size.unicode ? kBlocks[block] : kAscii[block];
    }
    text += '\n';
  }
  return text;
}

}  // namespace

std::string live_view(const KnownRun& run, std::optional<double> waited, const std::string& notes,
                      const ViewSize& size) {
  std::string text = status_line(run) + "\n";
  if (run.epochs.empty()) {
    text += "no evaluation yet\n";
  } else {
    constexpr int kOtherLines = 5, kTallest = 8;  // the first two, both curves' titles, the cursor's
    const int rows = size.rows - kOtherLines - static_cast<int>(std::ranges::count(notes, '\n'));
    const int height = std::clamp(rows / 2, 1, kTallest);
    const EpochRecord& last = run.epochs.back();
    text +=
        place_text(run, last.epoch) + pace_text(seconds_left(run, waited), last.images_per_second()) + "\n";
    const auto accuracy = [](const EpochRecord& epoch) { return 100 * epoch.test.accuracy; };
    text += curve(run, accuracy, "test accuracy", "{:.2f} %", height, size);
    text += curve(
        run, [](const EpochRecord& epoch) { return epoch.test.loss; }, "test loss", "{:.4f}", height, size);
  }
  std::istringstream lines(text + notes);
  std::string view, line;
  for (int row = 1; row < size.rows && std::getline(lines, line); ++row)
    view += std::string(first_columns(line, static_cast<std::size_t>(std::max(size.columns, 0)))) + "\n";
  return view;
}

std::string evaluation_line(const KnownRun& run, const EpochRecord& evaluation) {
  return fmt::format("{}  train loss {:.4f}  test {:.2f} %, loss {:.4f}  {:.3f} s{}",
                     place_text(run, evaluation.epoch), evaluation.train_loss, 100 * evaluation.test.accuracy,
                     evaluation.test.loss, evaluation.seconds,
                     pace_text(std::nullopt, evaluation.images_per_second()));
}

std::string status_line(const KnownRun& run) {
  const std::string& reason = run.record.reason;
  return printable(fmt::format("{}  {}{}", run.id, run.status(), reason.empty() ? "" : ": " + reason));
}

}  // namespace trainer
