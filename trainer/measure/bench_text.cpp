// What a bench says to a person.
#include <fmt/format.h>

#include "trainer/measure/bench_record.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

double mebibytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

std::string four_digits(double value) {
  return fmt::format("{:#.4g}", value);
}

std::string share_text(const BenchResult& result) {
  return result.peak.per_second > 0 ? fmt::format("{:.1f} %", 100 * share_of_peak(result)) : "n/a";
}

std::string row(const BenchResult& result, std::uint64_t epoch_images) {
  const Spread epoch = epoch_seconds(result, epoch_images);
  const double flops = images_per_second(result) * static_cast<double>(result.training_flops);
  return fmt::format("{:<16} {:>5}  {:<9} {:>9} {:<21} {:>10.0f} {:>8.0f} {:>8} {:>6.0f} MiB\n",
                     result.subject.model, result.subject.batch, result.precision, four_digits(epoch.median),
                     fmt::format("({} to {})", four_digits(epoch.least), four_digits(epoch.most)),
                     images_per_second(result), flops / 1e9, share_text(result),
                     mebibytes(result.memory_bytes));
}

// A line for each precision.
std::string peak_lines(const std::vector<BenchResult>& results) {
  std::string text;
  std::string last;
  for (const BenchResult& result : results) {
    if (result.precision == last) continue;
    last = result.precision;
    const std::string peak =
        result.peak.per_second > 0
            ? fmt::format("{:.0f} GFLOP/s ({})", result.peak.per_second / 1e9, result.peak.source)
            : "n/a";
    text += report_line("peak " + last, peak);
  }
  return text;
}

}  // namespace

std::string bench_head(const BenchSettings& settings) {
  std::string steps;
  for (const BenchSubject& s : settings.subjects)
    steps += fmt::format("{}{} {}: {}", steps.empty() ? "" : ", ", s.model, s.batch, s.steps);
  return report_line("bench",
                     fmt::format("version {}{}, {} repeats, training without evaluation", settings.version,
                                 settings.quick ? " quick" : "", settings.repeats)) +
         report_line("epoch",
                     fmt::format("{} images, scaled from the timed steps (or as many again for {:g} s)",
                                 settings.epoch_images, settings.least_seconds)) +
         report_line("steps", steps);
}

std::string bench_table(const BenchRecord& record) {
  std::string text =
      fmt::format("{:<16} {:>5}  {:<9} {:>9} {:<21} {:>10} {:>8} {:>8} {:>10}\n", "network", "batch",
                  "precision", "epoch s", "(min to max)", "images/s", "GFLOP/s", "of peak", "memory");
  for (const BenchResult& result : record.results) text += row(result, record.settings.epoch_images);
  text += peak_lines(record.results);
  text += report_line(
      "memory", fmt::format("{:.0f} MiB at most in this process", mebibytes(record.peak_process_bytes)));
  return text;
}

}  // namespace trainer
