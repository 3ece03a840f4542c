#include "trainer/train/training_output.hpp"

#include <array>
#include <fmt/format.h>

#include "models/plan.hpp"
#include "models/words.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

std::string data_text(const Setup& setup) {
  const Shape& shape = setup.dataset.shape;
  std::string text = fmt::format("{}: {} training and {} test images of {}x{}x{}, {} classes",
                                 setup.dataset.name, grouped(setup.train.images), grouped(setup.test.images),
                                 shape.h, shape.w, shape.c, setup.dataset.classes);
  if (setup.validates())
    text += fmt::format(", {} held out for validation", grouped(setup.validation.images));
  if (setup.settings.subset) text += fmt::format(", {}", *setup.settings.subset);
  if (setup.settings.transpose) text += ", transposed";
  if (setup.dataset.skipped_images > 0)
    text += fmt::format(" ({} broken pictures left out)", grouped(setup.dataset.skipped_images));
  return text;
}

std::string precision_text(const Setup& setup) {
  std::string precision = setup.settings.precision.value_or("fp32");
  if (setup.settings.bits) return precision + ", with portable bits: the same on every CPU and GPU";
  if (precision == "fp32") return precision;
  return precision + ": what products read is rounded; weights, sums and the last layer are fp32";
}

// "2 epochs of 60,000"; "32,000 of 60,000, each once" for less than one epoch.
std::string length_text(const Setup& setup) {
  const std::uint64_t shown = images_before(setup.train, setup.total_steps);
  if (shown < setup.train.images)
    return fmt::format("{} of {}, each once", grouped(shown), grouped(setup.train.images));
  const bool repeats =
      setup.train.last_batch == LastBatch::wrap && setup.train.images < rows_of_all(setup.train);
  return fmt::format("{} {} of {}{}", setup.epochs(), setup.epochs() == 1 ? "epoch" : "epochs",
                     grouped(setup.train.images), repeats ? ", repeated until a batch is full" : "");
}

// "muon and adam": the groups' optimisers, then that of the other parameters.
std::string optimizers_text(const Recipe& recipe) {
  std::string text;
  for (const OptimizerGroup& group : recipe.groups)
    text += std::string(optimizer_word(group.optimizer.kind)) + " and ";
  return text + optimizer_word(recipe.optimizer.kind);
}

// "4 on 2 machines, 32 of the 128 images of a batch each; gradients of 1 bit after 30,000 images"
std::string ranks_text(const PreparedRun& run) {
  const RankOptions& ranks = run.ranks;
  const int machines = run.places.machines;
  const TrainSettings& settings = run.setup.settings;
  const int bits = settings.gradient_bits.value_or(32);
  std::string text =
      fmt::format("{} on {} {}, {} of the {} images of a batch each; gradients of {} {}", ranks.ranks->size(),
                  machines, machines == 1 ? "machine" : "machines", run.setup.plan.input.batch,
                  run.setup.spec.recipe.batch, bits, bits == 1 ? "bit" : "bits");
  if (settings.warm_start_images)
    text += fmt::format(" after {} images", grouped(*settings.warm_start_images));
  return text;
}

// "0.412 s of training, 1,720 bytes a step from each rank to the others"
std::string exchange_text(const ExchangeCount& count) {
  return fmt::format("{:.3f} s of training, {} bytes a step from rank 0 to the others", count.seconds,
                     grouped(count.steps > 0 ? count.bytes / count.steps : 0));
}

ordered_json ranks_json(const PreparedRun& run, const ExchangeCount& exchange) {
  return {{"count", run.ranks.ranks->size()},
          {"machines", run.places.machines},
          {"gradient_bits", run.setup.settings.gradient_bits.value_or(32)},
          {"exchange_seconds", exchange.seconds},
          {"exchange_bytes", exchange.bytes},
          {"exchanges", exchange.steps}};
}

}  // namespace

std::string accuracy_text(const Score& score) {
  return fmt::format("{:.2f} +- {:.2f} %", 100 * score.accuracy, 100 * score.standard_error());
}

void print_event(Console& console, const char* event, const ordered_json& fields) {
  ordered_json json{{"event", event}};
  json.update(fields);
  console.json(json);
}

std::string run_head(const PreparedRun& run, const std::string& folder) {
  const Setup& setup = run.setup;
  const Plan& plan = setup.plan;
  const Recipe& recipe = setup.spec.recipe;
  std::string text = device_report(run.info, run.device.gpu_reason);
  text += report_line("data", data_text(setup));
  text += report_line(
      "model",
      fmt::format("{}: {} parameters, {:.3f} MFLOP forward, {:.3f} forward and backward an image", plan.model,
                  grouped(plan.parameters), static_cast<double>(plan.forward_flops) / 1e6,
                  static_cast<double>(plan.training_flops) / 1e6));
  text +=
      report_line("recipe", fmt::format("{} {} of {} images ({}), {}, learning rate {:g}, seed {}",
                                        grouped(setup.total_steps), setup.total_steps == 1 ? "step" : "steps",
                                        recipe.batch, length_text(setup), optimizers_text(recipe),
                                        setup.rule.schedule.rate, setup.settings.seed));
  if (run.ranks.ranks != nullptr) text += report_line("ranks", ranks_text(run));
  text += report_line("precision", precision_text(setup));
  text += report_line("results", folder.empty() ? "NOT SAVED (--no-save)" : folder);
  return text + engine_line(run.engine, run.info);
}

Words labels_without_images(const Setup& setup) {
  const data::Dataset& dataset = setup.dataset;
  std::vector<bool> seen(static_cast<std::size_t>(dataset.classes));
  for (std::uint32_t i = 0; i < setup.train.images; ++i)
    seen[dataset.train.labels[setup.train.first + i]] = true;
  Words names;
  for (std::size_t label = 0; label < seen.size(); ++label)
    if (!seen[label])
      names.push_back(dataset.label_names.empty() ? std::to_string(label) : dataset.label_names[label]);
  return names;
}

void warn_of_data(Console& console, const Setup& setup) {
  const data::Dataset& dataset = setup.dataset;
  if (dataset.is_transposed && !setup.settings.transpose) console.warning(kTransposedNote);
  const Words missing = labels_without_images(setup);
  if (missing.empty()) return;
  const auto classes = static_cast<std::size_t>(dataset.classes);
  console.warning(fmt::format(
      "{}: {} of {} classes have no training image: {}{}", dataset.path.string(), missing.size(), classes,
      joined(missing),
      missing.size() + 1 == classes ? "; ONLY ONE LABEL IS LEFT, and there is nothing to tell apart" : ""));
}

std::string epoch_line(const Setup& setup, const EpochRecord& record) {
  std::string text =
      fmt::format("epoch {}/{}  train loss {:.4f}  ", record.epoch, setup.epochs(), record.train_loss);
  if (record.validation) text += fmt::format("validation {}  ", accuracy_text(*record.validation));
  text += fmt::format("test {}  {:.3f} s  {} images/s", accuracy_text(record.test), record.seconds,
                      grouped(static_cast<std::uint64_t>(record.images_per_second())));
  if (record.exchange_seconds) text += fmt::format("  exchange {:.3f} s", *record.exchange_seconds);
  const bool whole = record.images == setup.train.images;
  return whole ? text : text + fmt::format("  ({} images)", grouped(record.images));
}

ordered_json score_json(const Score& score) {
  return {{"images", score.images},
          {"accuracy", score.accuracy},
          {"accuracy_standard_error", score.standard_error()},
          {"loss", score.loss}};
}

Ending ending_of(StopReason reason) {
  static constexpr std::array<Ending, 6> kEndings{{{"the recipe's end", RunStatus::kFinished},
                                                   {"target accuracy reached", RunStatus::kFinished},
                                                   {"time limit", RunStatus::kStopped},
                                                   {"step limit", RunStatus::kStopped},
                                                   {"signal", RunStatus::kStopped},
                                                   {"loss not finite", RunStatus::kFailed}}};
  return kEndings.at(static_cast<std::size_t>(reason));
}

// A run that resumed without its metrics knows only later evaluations, perhaps not the last.
static void add_scores(RunResults& results, const Setup& setup, const RunSummary& summary) {
  auto& [text, json] = results;
  if (!summary.epochs.empty() && summary.epochs.back().epoch == summary.result.position.epochs) {
    const EpochRecord& last = summary.epochs.back();
    text += report_line(
        "accuracy", fmt::format("{} on {} test images, loss {:.4f} (+-: standard error of so many images; "
                                "over seeds it differs more)",
                                accuracy_text(last.test), grouped(last.test.images), last.test.loss));
    json["test"] = score_json(last.test);
    if (last.validation) {
      text += report_line("", fmt::format("{} on {} validation images", accuracy_text(*last.validation),
                                          grouped(last.validation->images)));
      json["validation"] = score_json(*last.validation);
    }
    std::vector<double> each;
    for (const EpochRecord& epoch : summary.epochs) each.push_back(epoch.seconds);
    const Spread seconds = spread_of(each);
    text += report_line("epoch time", fmt::format("median {:.3f} s, {:.3f} to {:.3f}", seconds.median,
                                                  seconds.least, seconds.most));
    json["epoch_seconds"] = {
        {"median", seconds.median}, {"min", seconds.least}, {"max", seconds.most}, {"epochs", each.size()}};
  }
  if (summary.first_images) {
    text += report_line(
        "", fmt::format("{} on the first {} test images, the figure that the original sample printed",
                        accuracy_text(*summary.first_images), grouped(summary.first_images->images)));
    json["test_first_images"] = score_json(*summary.first_images);
  }
  if (summary.target) {
    const bool reached = summary.result.reason == StopReason::target;
    const char* judged_on = setup.validates() ? "validation images" : "test images";
    text += report_line("target", fmt::format("{:.2f} % of the {} {}", 100 * *summary.target, judged_on,
                                              reached ? "reached" : "NOT reached"));
    json["target_accuracy"] = *summary.target;
    json["target_judged_on"] = judged_on;
    json["target_reached"] = reached;
  }
}

RunResults results_of(const PreparedRun& run, const RunSummary& summary) {
  const LoopResult& loop = summary.result;
  const std::uint64_t total_steps = run.setup.total_steps;
  RunResults results{"",
                     {{"stopped_by", ending_of(loop.reason).text},
                      {"step", loop.position.step},
                      {"total_steps", total_steps},
                      {"epochs", loop.position.epochs}}};
  add_scores(results, run.setup, summary);
  auto& [text, json] = results;
  if (loop.reason == StopReason::bad_loss) json["first_bad_step"] = loop.bad_step + 1;
  std::string time = fmt::format("{:.2f} s in all, {} of {} steps", summary.seconds,
                                 grouped(loop.position.step), grouped(total_steps));
  if (summary.seconds_to_first_step > 0)
    time += fmt::format(", first step {:.2f} s after the start", summary.seconds_to_first_step);
  text += report_line("time", time);
  json["seconds"] = summary.seconds;
  json["seconds_to_first_step"] = summary.seconds_to_first_step;
  if (loop.graph_nodes > 0) json["graph_nodes"] = loop.graph_nodes;
  json["peak_memory_bytes"] = peak_process_bytes();
  if (summary.exchange) {
    text += report_line("exchange", exchange_text(*summary.exchange));
    json["ranks"] = ranks_json(run, *summary.exchange);
  }
  if (summary.energy_joules) {
    text += report_line("energy", fmt::format("{:.1f} J of the GPU, from the first step to the last",
                                              *summary.energy_joules));
    json["energy_joules"] = *summary.energy_joules;
  }
  if (!summary.digest.empty()) {
    text += report_line("digest", summary.digest);
    json["digest"] = summary.digest;
  }
  if (summary.digests_by_step) json["digests_by_step"] = *summary.digests_by_step;
  return results;
}

}  // namespace trainer
