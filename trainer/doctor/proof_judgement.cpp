// Which devices stand out, and the report.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "models/words.hpp"
#include "trainer/doctor/fleet.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

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

Check stands_out(const std::string& devices, const std::string& why) {
  return {CheckState::problem, devices, why, "", "", FailureClass::failed};
}

// One number of the measured speed; 0 if it is unknown.
double measured(const DeviceRow& row, const char* name) {
  const auto value = row.speed.is_object() ? row.speed.value(name, ordered_json()) : ordered_json();
  return value.is_number() ? value.get<double>() : 0;
}

std::ptrdiff_t failed_trainings(const DeviceRow& row) {
  return std::ranges::count_if(row.trainings, [](const auto& training) { return !training.error.empty(); });
}

void judge_device(const DeviceRow& row, std::vector<Check>* findings) {
  const auto add = [&](const std::string& why) { findings->push_back(stands_out(row.device, why)); };
  if (const auto failed = failed_trainings(row); failed > 0) {
    const auto first =
        std::ranges::find_if(row.trainings, [](const auto& training) { return !training.error.empty(); });
    add(fmt::format("{} of {} trainings failed: {}", failed, row.trainings.size(), first->error));
  }
  if (const std::size_t kinds = weights_of(row).size(); kinds > 1)
    add(fmt::format(
        "the same training ended with {} different sets of weights: it computes wrongly now and then, "
        "or its memory fails",
        kinds));
  if (!row.speed_error.empty()) add("the test of its speed failed: " + row.speed_error);
  if (const double errors = measured(row, "uncorrected_errors"); errors > 0)
    add(fmt::format("{} memory errors that ECC could not correct", errors));
  if (row.new_xids > 0) add(fmt::format("the kernel logged {} faults (Xid) during the test", row.new_xids));
}

void judge_speed(const DeviceRow& row, const std::vector<DeviceRow>& rows, std::vector<Check>* findings) {
  const double slower = slowdown(row, rows);
  if (!row.gpu || slower <= kSlow) return;
  std::vector<std::string> reasons;
  if (row.speed.is_object()) reasons = row.speed.value("reasons", reasons);
  for (const std::string& reason : row.held_back)
    if (reason != "idle") reasons.push_back("held back by: " + reason);
  findings->push_back(stands_out(
      row.device, fmt::format("{:.0f} % slower than the fastest {}{}", 100 * slower, row.name,
                              reasons.empty() ? "" : fmt::format(" ({})", fmt::join(reasons, ", ")))));
}

// Among devices of one name whose own trainings agree, reports those whose weights are not the majority's. Without a majority it
// reports all of them, since nothing tells which are right.
void judge_equals(const Rows& equals, std::vector<Check>* findings) {
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
    findings->push_back(stands_out(
        names_of(equals),
        fmt::format(
            "the same training does not end with the same weights on them; which is wrong is not to be told "
            "without more of {}",
            equals.front()->name)));
    return;
  }
  for (const auto& [weights, rows] : by_weights) {
    if (weights == most->first) continue;
    findings->push_back(stands_out(
        names_of(rows), fmt::format("the same training ends with other weights than on {}: it computes "
                                    "wrongly, or its memory fails",
                                    names_of(most->second))));
  }
}

// "NVIDIA H200: 8 of 8 trainings, an epoch in 0.1234 s (1.2 % slower), weights 0a1b2c3d, ...", without what is unknown.
std::string device_text(const DeviceRow& row, const std::vector<DeviceRow>& rows) {
  const auto good = static_cast<std::ptrdiff_t>(row.trainings.size()) - failed_trainings(row);
  std::string text = fmt::format("{}: {} of {} trainings", row.name, good, row.trainings.size());
  if (const double seconds = median_seconds(row); seconds > 0)
    text += fmt::format(", an epoch in {:#.4g} s ({:.1f} % slower)", seconds, 100 * slowdown(row, rows));
  const std::set<std::string> weights = weights_of(row);
  if (!weights.empty())
    text += weights.size() > 1 ? ", weights differ" : ", weights " + weights.begin()->substr(0, 8);
  for (const auto& [what, key] : {std::pair{"to it", "upload_bytes_per_second"},
                                  {"from it", "download_bytes_per_second"},
                                  {"in its memory", "memory_bytes_per_second"}})
    if (const double bytes = measured(row, key); bytes > 0)
      text += fmt::format(", {:.1f} GB/s {}", bytes / 1e9, what);
  if (row.speed.is_object())
    for (const auto& peer : row.speed.value("peers", ordered_json::array()))
      text += fmt::format(", {:.1f} GB/s to cuda:{}", peer.at("bytes_per_second").get<double>() / 1e9,
                          peer.at("device").get<int>());
  if (row.lowest_clock_mhz) text += fmt::format(", SM clock at least {} MHz", *row.lowest_clock_mhz);
  if (row.xids) text += fmt::format(", {} faults (Xid) logged", *row.xids);
  if (!row.held_back.empty()) text += fmt::format(", held back by: {}", fmt::join(row.held_back, ", "));
  return text;
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

std::vector<Check> judge(const std::vector<DeviceRow>& rows) {
  std::vector<Check> findings;
  std::set<std::string> judged;
  for (const DeviceRow& row : rows)
    if (judged.insert(row.name).second) judge_equals(equals_of(row, rows), &findings);
  for (const DeviceRow& row : rows) {
    judge_device(row, &findings);
    judge_speed(row, rows, &findings);
  }
  return findings;
}

std::string fleet_text(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings) {
  std::vector<Check> checks;
  for (const DeviceRow& row : rows) {
    const bool odd = std::ranges::any_of(findings, [&](const Check& finding) {
      return (finding.name + ",").find(row.device + ",") != std::string::npos;
    });
    checks.push_back({odd ? CheckState::note : CheckState::ok, row.device, device_text(row, rows)});
  }
  checks.insert(checks.end(), findings.begin(), findings.end());
  const std::string text = check_text(checks);
  if (!findings.empty())
    return text + fmt::format("{} of what was found is not as it should be\n", findings.size());
  if (rows.size() < 2) return text + "healthy: the device ends with the same bits each time\n";
  return text + (rows.front().gpu ? "healthy: equal devices end with the same bits, at the same speed\n"
                                  : "healthy: equal devices end with the same bits\n");
}

ordered_json fleet_json(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings) {
  ordered_json json{{"kind", "doctor of all"}, {"healthy", findings.empty()}};
  json["odd"] = json["devices"] = ordered_json::array();
  for (const Check& finding : findings) json["odd"].push_back(finding.name + ": " + finding.finding);
  for (const DeviceRow& row : rows) {
    ordered_json trainings = ordered_json::array();
    for (const TrainingOutcome& training : row.trainings) {
      trainings.push_back(
          {{"error", training.error},
           {"epoch_seconds", training.error.empty() ? ordered_json(training.seconds) : nullptr},
           {"weights_sha256", training.weights}});
    }
    json["devices"].push_back({{"device", row.device},
                               {"name", row.name},
                               {"trainings", trainings},
                               {"epoch_seconds", median_seconds(row)},
                               {"slowdown", slowdown(row, rows)},
                               {"speed", row.speed},
                               {"speed_error", row.speed_error},
                               {"held_back", row.held_back},
                               {"lowest_sm_clock_mhz", json_of(row.lowest_clock_mhz)},
                               {"xids", json_of(row.xids)},
                               {"new_xids", row.new_xids}});
  }
  return json;
}

int count_xids(const std::string& kernel_log, const std::string& bus_id) {
  const std::string log = lower(kernel_log);
  const std::string fault = "nvrm: xid (pci:" + bus_id.substr(0, bus_id.find('.'));
  int count = 0;
  for (std::size_t at = log.find(fault); at != std::string::npos; at = log.find(fault, at + 1)) ++count;
  return count;
}

}  // namespace trainer::doctor
