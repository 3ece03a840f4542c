// A run as its folder keeps it: run.json, which says "running" until the run is closed, and metrics.jsonl. Of a run with
// --no-save nothing is kept.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/device_info.hpp"
#include "trainer/console/progress.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// The record before the first step: status running, started now.
RunRecord describe_run(const Environment& environment, const Setup& setup, const DeviceInfo& info,
                       const std::string& gpu_reason);

// What it says of the device and of the libraries that are open: the network opens them.
void describe_device(RunRecord& record, const DeviceInfo& info, const std::string& gpu_reason);

class RecordedRun {
 public:
  // Keeps the run in `folder` from here on; `earlier_seconds` are those of the parts before a resumption.
  void open(RunFolder folder, RunRecord first, double earlier_seconds = 0);

  [[nodiscard]] bool is_kept() const { return folder_.has_value(); }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return folder_->file(name); }
  [[nodiscard]] std::string path() const { return folder_ ? folder_->path().string() : ""; }
  [[nodiscard]] double seconds() const { return earlier_seconds_ + seconds_since(start_); }  // of all parts

  void add_metrics(const nlohmann::ordered_json& line) {
    if (metrics_) metrics_->write(line);
  }
  void flush_metrics() { metrics_->flush(); }  // of a run that is kept
  void close(RunStatus status, const std::string& reason);
  // An error is on its way and matters more than one of writing it down, which is a warning.
  void close_failed(const std::string& reason, Console& console);

  RunRecord record;

 private:
  Clock::time_point start_ = Clock::now();
  std::optional<RunFolder> folder_;
  std::optional<JsonLinesFile> metrics_;
  double earlier_seconds_ = 0;
};

}  // namespace trainer
