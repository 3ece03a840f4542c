// Bench records that no machine has made.
#pragma once

#include "trainer/measure/bench.hpp"

namespace trainer::test {

// Every training of this version's settings, at `seconds` an epoch in each of three repeats.
inline BenchRecord bench_record(double seconds, const std::vector<std::string>& precisions = {"fp32"}) {
  BenchRecord record;
  record.settings = bench_settings(false);
  record.settings.data = "crc32:1-2-3-4";
  record.date = "2026-01-01T09:30:00+01:00";
  record.seconds = 50;
  record.command = {"trainer", "bench"};
  record.device_name = "CPU: of a test";
  for (const std::string& precision : precisions) {
    for (const BenchSubject& subject : record.settings.subjects) {
      BenchResult result{subject, precision, 1000, 5'000'000, 1 << 20, {1e11, "measured"}, {}};
      const std::uint64_t images = subject.steps * static_cast<std::uint64_t>(subject.batch);
      const double part = static_cast<double>(images) / static_cast<double>(record.settings.epoch_images);
      for (const double factor : {1.0, 0.75, 1.25})
        result.repeats.push_back({subject.steps, images, seconds * part * factor});
      record.results.push_back(result);
    }
  }
  record.peak_process_bytes = 1 << 28;
  record.before = {{"load", 0.1}};
  record.after = {{"load", 1.9}};
  record.machine = {{"cpu", "of a test"}};
  record.versions = {{"trainer", "0.1.0"}};
  return record;
}

}  // namespace trainer::test
