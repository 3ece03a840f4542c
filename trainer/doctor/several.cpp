// The rounds, and who stands out.
#include "trainer/doctor/several.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "models/words.hpp"
#include "trainer/doctor/speed.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer::doctor {

namespace {

constexpr double kSlow = 0.1;

using Rows = std::vector<const DeviceRow*>;

Rows equals_of(const DeviceRow& row, const std::vector<DeviceRow>& rows) {
  Rows equals;
  for (const DeviceRow& other : rows)
    if (other.name == row.name) equals.push_back(&other);
  return equals;
}

std::set<std::string> weights_of(const DeviceRow& row) {
  std::set<std::string> weights;
  for (const TrainingOutcome& training : row.trainings)
    if (training.error.empty()) weights.insert(training.weights);
  return weights;
}

std::string names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const DeviceRow* row : rows) names.push_back(row->device);
  return fmt::format("{}", fmt::join(names, ", "));
}

void judge_trainings(const DeviceRow& row, std::vector<std::string>* findings) {
  const auto failed = std::ranges::count_if(row.trainings, [](const auto& t) { return !t.error.empty(); });
  if (failed > 0) {
    const auto first =
        std::ranges::find_if(row.trainings, [](const auto& training) { return !training.error.empty(); });
    findings->push_back(fmt::format("{}: {} of {} trainings failed: {}", row.device, failed,
                                    row.trainings.size(), first->error));
  }
  if (const std::size_t kinds = weights_of(row).size(); kinds > 1) {
    findings->push_back(fmt::format(
        "{}: the same training ended with {} different sets of weights: it computes wrongly now and "
        "then, or its memory fails",
        row.device, kinds));
  }
}

void judge_health(const DeviceRow& row, std::vector<std::string>* findings) {
  if (!row.speed_error.empty())
    findings->push_back(fmt::format("{}: the test of its speed failed: {}", row.device, row.speed_error));
  const std::uint64_t errors = row.speed ? row.speed->condition.uncorrected_errors.value_or(0) : 0;
  if (errors > 0)
    findings->push_back(fmt::format("{}: {} memory errors that ECC could not correct", row.device, errors));
  if (row.new_xids > 0)
    findings->push_back(
        fmt::format("{}: the kernel logged {} faults (Xid) during the test", row.device, row.new_xids));
}

void judge_speed(const DeviceRow& row, const std::vector<DeviceRow>& rows,
                 std::vector<std::string>* findings) {
  const double slower = slowdown(row, rows);
  if (!row.gpu || slower <= kSlow) return;
  std::vector<std::string> reasons;
  if (row.speed) reasons = reasons_for_slowness(*row.speed);
  for (const std::string& reason : row.held_back)
    if (reason != "idle") reasons.push_back("held back by: " + reason);
  findings->push_back(fmt::format("{}: {:.0f} % slower than the fastest {}{}", row.device, 100 * slower,
                                  row.name,
                                  reasons.empty() ? "" : fmt::format(" ({})", fmt::join(reasons, ", "))));
}

// Of rows of one name that agree with themselves: those whose weights are not the majority's. Two that differ
// are both named, since nothing tells which is right.
void judge_equals(const Rows& equals, std::vector<std::string>* findings) {
  std::map<std::string, Rows> by_weights;
  std::size_t steady = 0;
  for (const DeviceRow* row : equals) {
    const std::set<std::string> weights = weights_of(*row);
    if (weights.size() != 1) continue;
    by_weights[*weights.begin()].push_back(row);
    ++steady;
  }
  if (by_weights.size() < 2) return;
  const auto most = std::ranges::max_element(
      by_weights, [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (2 * most->second.size() <= steady) {
    findings->push_back(
        fmt::format("{}: the same training does not end with the same weights on them; which is wrong is not "
                    "to be told without "
                    "more of {}",
                    names_of(equals), equals.front()->name));
    return;
  }
  for (const auto& [weights, rows] : by_weights) {
    if (weights == most->first) continue;
    findings->push_back(
        fmt::format("{}: the same training ends with other weights than on {}: it computes "
                    "wrongly, or its memory fails",
                    names_of(rows), names_of(most->second)));
  }
}

}  // namespace

double median_seconds(const DeviceRow& row) {
  std::vector<double> seconds;
  for (const TrainingOutcome& training : row.trainings)
    if (training.error.empty()) seconds.push_back(training.seconds);
  return seconds.empty() ? 0 : median(std::move(seconds));
}

double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows) {
  const double own = median_seconds(row);
  double best = own;
  for (const DeviceRow* other : equals_of(row, rows))
    if (const double seconds = median_seconds(*other); seconds > 0) best = std::min(best, seconds);
  return best > 0 ? own / best - 1 : 0;
}

void test_devices(const SeveralSettings& settings, Devices& devices, std::vector<DeviceRow>* rows) {
  constexpr int kFewestRounds = 2;
  for (DeviceRow& row : *rows) {
    if (devices.asked_to_stop()) return;
    settings.say(fmt::format("{}: measuring its speed", row.device));
    devices.measure(&row);
  }
  for (int round = 1; round <= kFewestRounds || devices.seconds() < settings.seconds; ++round) {
    if (devices.asked_to_stop()) return;
    settings.say(fmt::format("round {}: all train at once", round));
    devices.train_all(rows);
  }
}

std::vector<std::string> judge(const std::vector<DeviceRow>& rows) {
  std::vector<std::string> findings;
  std::set<std::string> judged;
  for (const DeviceRow& row : rows)
    if (judged.insert(row.name).second) judge_equals(equals_of(row, rows), &findings);
  for (const DeviceRow& row : rows) {
    judge_trainings(row, &findings);
    judge_health(row, &findings);
    judge_speed(row, rows, &findings);
  }
  return findings;
}

std::map<std::string, int> count_xids(const std::string& kernel_log) {
  const std::string kStart = "NVRM: Xid (PCI:";
  std::map<std::string, int> counts;
  for (std::size_t at = kernel_log.find(kStart); at != std::string::npos;
       at = kernel_log.find(kStart, at + 1)) {
    const std::size_t begin = at + kStart.size();
    const std::size_t end = std::min(kernel_log.find(')', begin), begin + 16);
    const std::string id = lower(kernel_log.substr(begin, end - begin));
    ++counts[id.substr(0, id.find('.'))];
  }
  return counts;
}

}  // namespace trainer::doctor
