#include "trainer/report/report_head.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/recipe_text.hpp"
#include "trainer/report/report_bars.hpp"
#include "trainer/report/report_html.hpp"
#include "trainer/report/report_plot.hpp"
#include "trainer/report/report_values.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

namespace {

Score last_test(const KnownRun& run) {
  Score score = run.epochs.back().test;
  score.accuracy = std::clamp(score.accuracy, 0.0, 1.0);
  return score;
}

std::string accuracy_of(const KnownRun& run) {
  return run.accuracy() ? fmt::format("{:.2f} %", 100 * *run.accuracy()) : "-";
}

std::string accuracy_with_error(const KnownRun& run) {
  if (run.sprint)
    return fmt::format("{:.3f} ± {:.3f} %", 100 * run.sprint->mean, 100 * run.sprint->standard_error);
  return run.epochs.empty() ? "-" : score_text(last_test(run));
}

std::string loss_of(const KnownRun& run) {
  if (run.epochs.empty()) return "-";
  const double loss = run.epochs.back().test.loss;
  if (!std::isfinite(loss)) return "not finite";
  return std::abs(loss) < 1e6 ? fmt::format("{:.4f}", loss) : fmt::format("{:g}", loss);
}

std::string error_count(const KnownRun& run) {
  if (run.epochs.empty()) return "no evaluation";
  if (run.sprint) {
    return fmt::format("mean of {} seeds ± {:.3f}; {:.4g} s each", run.epochs.size(),
                       100 * run.sprint->standard_error, run.sprint->seconds);
  }
  const Score score = last_test(run);
  const double wrong = std::round((1 - score.accuracy) * static_cast<double>(score.images));
  const auto errors = static_cast<std::uint64_t>(std::min(wrong, 1e15));
  return fmt::format("± {:.2f}; {} of {} images wrong", 100 * score.standard_error(), grouped(errors),
                     grouped(score.images));
}

std::string epoch_time_of(const KnownRun& run) {
  const EpochSpan times = epoch_span(run);
  return times.epochs == 0 ? "-" : duration_text(times.median);
}

std::string epochs_text(const KnownRun& run) {
  if (run.epochs.empty()) return "none finished";
  return fmt::format("{} {}{}, {} steps{}", grouped(run.epochs.size()), epoch_word(run),
                     run.epochs.size() == 1 ? "" : "s", grouped(run.epochs.back().step),
                     run.sprint ? " each" : "");
}

std::string rate_text(const KnownRun& run) {
  const EpochSpan times = epoch_span(run);
  if (!(times.median > 0)) return "";
  const double rate = static_cast<double>(run.record.data.train_images) / times.median;
  return fmt::format("{} images a second", grouped(static_cast<std::uint64_t>(std::min(rate, 1e15))));
}

std::string device_name(const KnownRun& run) {
  const nlohmann::ordered_json& device = run.record.device;
  const bool named = device.is_object() && device.contains("name") && device.at("name").is_string();
  return named ? device.at("name").get<std::string>() : "unknown device";
}

std::string text_in(const nlohmann::ordered_json& json, const char* key) {
  return json.is_object() && json.contains(key) && json.at(key).is_string() ? json.at(key).get<std::string>()
                                                                            : "";
}

std::string precision_of(const KnownRun& run) {
  const nlohmann::ordered_json& recipe = run.record.recipe;
  if (!recipe.is_object() || !recipe.contains("settings")) return "-";
  const std::string precision = text_in(recipe.at("settings"), "precision");
  return precision.empty() ? "-" : precision;
}

std::string tile(const std::string& name, const std::string& value, const std::string& more) {
  return fmt::format("<div><dt>{}</dt><dd class=\"value\">{}</dd><dd class=\"more\">{}</dd></div>\n", name,
                     escaped(value), escaped(more));
}

std::string tiles(const KnownRun& run) {
  std::string html = "<dl class=\"tiles\">\n";
  html += tile("Test accuracy", accuracy_of(run), error_count(run));
  html += tile("Test loss", loss_of(run), epochs_text(run));
  html += tile("Time of an epoch", epoch_time_of(run), rate_text(run));
  html += tile("Time in all", duration_text(run.record.seconds), device_name(run));
  return html + "</dl>\n";
}

using CellText = std::string (*)(const KnownRun&);

std::string row(const std::vector<KnownRun>& runs, const char* name, CellText text) {
  std::string html = fmt::format("<tr><th scope=\"row\">{}</th>", name);
  for (const KnownRun& run : runs) html += fmt::format("<td>{}</td>", escaped(text(run)));
  return html + "</tr>\n";
}

std::string comparison(const std::vector<KnownRun>& runs) {
  std::string html = "<table class=\"values\">\n<thead><tr><td></td>";
  for (std::size_t i = 0; i < runs.size(); ++i)
    html += fmt::format("<th scope=\"col\">{} {}</th>", letter_of(i), line_swatch(static_cast<int>(i)));
  html += "</tr></thead>\n<tbody>\n";
  html += row(runs, "run", [](const KnownRun& run) { return run.id; });
  html += row(runs, "network", [](const KnownRun& run) { return run.record.model; });
  html += row(runs, "status", [](const KnownRun& run) { return result_values(run).front().text; });
  html += row(runs, "test accuracy", accuracy_with_error);
  html += row(runs, "test loss", loss_of);
  html += row(runs, "length", epochs_text);
  html += row(runs, "time of an epoch", epoch_time_of);
  html += row(runs, "speed", rate_text);
  html += row(runs, "time in all", [](const KnownRun& run) { return duration_text(run.record.seconds); });
  html += row(runs, "device", device_name);
  html += row(runs, "precision", precision_of);
  html += row(runs, "seed", [](const KnownRun& run) { return std::to_string(run.record.seed); });
  html += row(runs, "started", [](const KnownRun& run) { return time_text(run.record.started); });
  return "<h2>Results</h2>\n" + scrolling("Results", html + "</tbody></table>\n");
}

std::string heading(const std::string& kind, const std::string& title, const std::string& about) {
  return fmt::format(
      "<header>\n<p class=\"kind\">{}</p>\n<h1>{}</h1>\n<p class=\"about\">{}</p>\n</header>\n", kind,
      escaped(title), escaped(about));
}

}  // namespace

std::string report_title(const std::vector<KnownRun>& runs) {
  if (runs.size() == 1) return fmt::format("{}: {}", runs.front().record.model, accuracy_of(runs.front()));
  return fmt::format("{} runs compared", runs.size());
}

std::string report_head(const std::vector<KnownRun>& runs) {
  const KnownRun& first = runs.front();
  if (runs.size() > 1)
    return heading("Comparison of trainings", report_title(runs),
                   "± is the standard error that so many test images give; over seeds results differ more.") +
           comparison(runs);
  const std::string about =
      fmt::format("run {}, {}, started {}, on {}", first.id, result_values(first).front().text,
                  time_text(first.record.started), text_in(first.record.machine, "host"));
  std::string html = heading("Report of a training", first.record.model, about) + tiles(first);
  if (first.record.status == RunStatus::kFailed)
    html += missing_part("This training failed: " + first.record.reason);
  return html;
}

}  // namespace trainer
