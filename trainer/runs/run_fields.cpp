#include "trainer/runs/run_fields.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <optional>

#include "trainer/console/json_lookup.hpp"
#include "trainer/runs/epoch_times.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

RunValue number(std::optional<double> value) {
  return value && std::isfinite(*value) ? RunValue(*value) : RunValue();
}

RunValue text(std::string value) {
  return value.empty() ? RunValue() : RunValue(std::move(value));
}

// A number of the last evaluation.
template <class Number>
RunValue last(const KnownRun& run, Number number_of) {
  return run.epochs.empty() ? RunValue() : number(number_of(run.epochs.back()));
}

RunValue seconds(const KnownRun& run) {
  const double all = run.seconds();
  return all > 0 ? RunValue(all) : RunValue();
}

constexpr auto kNumber = FieldKind::number;
constexpr auto kText = FieldKind::text;

constexpr std::array kFields{
    RunField{"id", kText, "name of the run's folder", [](const KnownRun& r) { return text(r.id); }},
    RunField{"model", kText, "network", [](const KnownRun& r) { return text(r.record.model); }},
    RunField{"device", kText, "processor or GPU that trained",
             [](const KnownRun& r) { return text(find_text(r.record.device, {"name"}).value_or("")); }},
    RunField{"target", kText, "where it ran: local, or another machine",
             [](const KnownRun& r) { return text(target_name(r.record)); }},
    RunField{"status", kText,
             "submitted, running, finished, stopped, failed, or killed: ended without a word",
             [](const KnownRun& r) { return text(status_word(r)); }},
    RunField{"reason", kText, "why it ended", [](const KnownRun& r) { return text(r.record.reason); }},
    RunField{"started", kText, "2026-01-31T09:30:00+01:00, local time with its zone",
             [](const KnownRun& r) { return text(r.record.started); }},
    RunField{"host", kText, "name of the machine",
             [](const KnownRun& r) { return text(find_text(r.record.machine, {"host"}).value_or("")); }},
    RunField{"precision", kText, "of products: fp32, bf16 ...",
             [](const KnownRun& r) {
               return text(is_submission(r.record)
                               ? ""
                               : find_text(r.record.recipe, {"settings", "precision"}).value_or("fp32"));
             }},
    RunField{"accuracy", kNumber,
             "share of the test images, 0 to 1, at the last evaluation; of a sprint the mean over its seeds",
             [](const KnownRun& r) { return number(r.accuracy()); }},
    RunField{"loss", kNumber, "of the test images, at the last evaluation",
             [](const KnownRun& r) { return last(r, [](const EpochRecord& e) { return e.test.loss; }); }},
    RunField{"validation_accuracy", kNumber, "share of the validation images, at the last evaluation",
             [](const KnownRun& r) {
               return last(r, [](const EpochRecord& e) {
                 return e.validation ? std::optional(e.validation->accuracy) : std::nullopt;
               });
             }},
    RunField{"epochs", kNumber, "evaluations done",
             [](const KnownRun& r) { return RunValue(static_cast<double>(r.epochs.size())); }},
    RunField{"epoch_seconds", kNumber, "median time of an epoch's steps",
             [](const KnownRun& r) { return number(epoch_seconds(r)); }},
    RunField{"images_per_second", kNumber, "median over the epochs",
             [](const KnownRun& r) { return number(images_per_second(r)); }},
    RunField{"seconds", kNumber, "in all, over all parts of a resumed run", seconds},
    RunField{"seed", kNumber, "of initialisation, order and dropout",
             [](const KnownRun& r) { return RunValue(static_cast<double>(r.record.seed)); }},
    RunField{"batch", kNumber, "images of a step",
             [](const KnownRun& r) { return number(find_number(r.record.recipe, {"batch"})); }},
    RunField{"threads", kNumber, "of the CPU engine",
             [](const KnownRun& r) { return RunValue(static_cast<double>(r.record.threads)); }},
    RunField{"energy_joules", kNumber, "of the GPU, where the run recorded it",
             [](const KnownRun& r) { return number(find_number(r.record.results, {"energy_joules"})); }},
};

}  // namespace

std::span<const RunField> run_fields() {
  return kFields;
}

const RunField* find_field(std::string_view name) {
  const auto found = std::ranges::find(kFields, name, &RunField::name);
  return found == kFields.end() ? nullptr : &*found;
}

Words field_names() {
  Words names;
  for (const RunField& field : kFields) names.emplace_back(field.name);
  return names;
}

void sort_runs(std::vector<KnownRun>& runs, const std::string& key) {
  const bool descending = key.starts_with('-');
  const std::string name = key.substr(descending ? 1 : 0);
  const RunField* field = find_field(name);
  if (field == nullptr) throw UsageError("--sort: " + unknown_word("field", name, field_names()));
  struct Keyed {
    RunValue value;
    KnownRun run;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(runs.size());
  for (KnownRun& run : runs) {
    RunValue value = field->value(run);
    keyed.push_back({std::move(value), std::move(run)});
  }
  std::ranges::stable_sort(keyed, [descending](const Keyed& a, const Keyed& b) {
    const bool a_absent = std::holds_alternative<std::monostate>(a.value);
    const bool b_absent = std::holds_alternative<std::monostate>(b.value);
    if (a_absent || b_absent) return !a_absent && b_absent;
    return descending ? b.value < a.value : a.value < b.value;
  });
  runs.clear();
  for (Keyed& each : keyed) runs.push_back(std::move(each.run));
}

}  // namespace trainer
