#include "trainer/doctor/several_report.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "trainer/doctor/report.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

std::string gigabytes(double bytes) {
  return bytes > 0 ? fmt::format("{:.1f}", bytes / 1e9) : kUnknown;
}

// "8 of 8", the trainings that ended well.
std::string trained_text(const DeviceRow& row) {
  const auto good = std::ranges::count_if(row.trainings, [](const auto& t) { return t.error.empty(); });
  return fmt::format("{} of {}", good, row.trainings.size());
}

// The first digits of what it ended with; "differ" where that changed.
std::string weights_text(const DeviceRow& row) {
  std::set<std::string> weights;
  for (const TrainingOutcome& training : row.trainings)
    if (training.error.empty()) weights.insert(training.weights);
  if (weights.empty()) return kUnknown;
  return weights.size() > 1 ? "differ" : weights.begin()->substr(0, 8);
}

// The slowest of its connections to other GPUs.
std::string peers_text(const SpeedFacts& speed) {
  if (speed.peers.empty()) return kUnknown;
  const auto slowest = std::ranges::min_element(speed.peers, {}, &SpeedFacts::Peer::bytes);
  return fmt::format("{}{}", gigabytes(slowest->bytes),
                     speed.condition.nvlinks.value_or(0) > 0 ? " NVLink" : "");
}

std::string table_line(const DeviceRow& row, const std::vector<DeviceRow>& rows) {
  const SpeedFacts speed = row.speed.value_or(SpeedFacts{});
  const double seconds = median_seconds(row);
  return fmt::format("{:<8} {:>9} {:>9} {:>7} {:>9} {:>7} {:>7} {:>8} {:>12} {:>6} {:>5} {:>4}\n", row.device,
                     trained_text(row), seconds > 0 ? fmt::format("{:#.4g} s", seconds) : kUnknown,
                     seconds > 0 ? fmt::format("{:.1f} %", 100 * slowdown(row, rows)) : kUnknown,
                     weights_text(row), gigabytes(speed.upload_bytes), gigabytes(speed.download_bytes),
                     gigabytes(speed.memory_bytes), peers_text(speed), text_of(row.lowest_clock_mhz),
                     text_of(speed.condition.uncorrected_errors), text_of(row.xids));
}

}  // namespace

std::string several_text(const std::vector<DeviceRow>& rows, const std::vector<std::string>& findings) {
  std::string text;
  for (const DeviceRow& row : rows) text += fmt::format("{:<8} {}\n", row.device, row.name);
  text += fmt::format("{:<8} {:>9} {:>9} {:>7} {:>9} {:>7} {:>7} {:>8} {:>12} {:>6} {:>5} {:>4}\n", "device",
                      "trained", "epoch", "slower", "weights", "to it", "from it", "memory", "to a peer",
                      "MHz", "ECC", "Xid");
  for (const DeviceRow& row : rows) text += table_line(row, rows);
  for (const DeviceRow& row : rows) {
    if (!row.held_back.empty())
      text += fmt::format("{:<8} held back by: {}\n", row.device, fmt::join(row.held_back, ", "));
  }
  text += "copies in GB/s; MHz: the lowest SM clock while all trained; ECC: errors not corrected\n";
  for (const std::string& finding : findings) text += fmt::format("odd      {}\n", finding);
  if (!findings.empty())
    return text + fmt::format("{} of what was found is not as it should be\n", findings.size());
  if (rows.size() < 2) return text + "healthy: the device ends with the same bits each time\n";
  return text + (rows.front().gpu ? "healthy: equal devices end with the same bits, at the same speed\n"
                                  : "healthy: equal devices end with the same bits\n");
}

ordered_json several_json(const std::vector<DeviceRow>& rows, const std::vector<std::string>& findings) {
  ordered_json json{{"kind", "doctor of all"}, {"healthy", findings.empty()}, {"odd", findings}};
  json["devices"] = ordered_json::array();
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
                               {"speed", row.speed ? speed_json(*row.speed) : ordered_json(nullptr)},
                               {"speed_error", row.speed_error},
                               {"held_back", row.held_back},
                               {"lowest_sm_clock_mhz", json_of(row.lowest_clock_mhz)},
                               {"xids", json_of(row.xids)},
                               {"new_xids", row.new_xids}});
  }
  return json;
}

}  // namespace trainer::doctor
