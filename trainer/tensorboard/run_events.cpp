#include "trainer/tensorboard/run_events.hpp"

#include <fmt/format.h>
#include <string_view>
#include <sys/utsname.h>
#include <utility>

#include "trainer/console/json_lookup.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

// "test_loss" is "loss/test": what belongs in one plot stands in one group. Empty for what tells no course.
std::string tag_of(const std::string& key) {
  for (const std::string_view other : {"epoch", "step", "seed", "images"})
    if (key == other) return "";
  if (key.ends_with("standard_error")) return "";
  for (const std::string split : {"train", "test", "validation"})
    if (key.starts_with(split + "_")) return key.substr(split.size() + 1) + "/" + split;
  return (key.ends_with("seconds") ? "time/" : "training/") + key;
}

// What tells runs apart in a table; TensorBoard leaves out what a run lacks. The settings replace the recipe's values.
ordered_json hyperparameters_of(const RunRecord& record) {
  ordered_json all{{"model", record.model}, {"threads", record.threads}};
  if (const auto name = find_text(record.device, {"name"})) all["device"] = *name;
  const ordered_json* settings = find_value(record.recipe, {"settings"});
  for (const ordered_json* values : {&record.recipe, settings})
    for (const char* key : {"optimizer", "rate", "schedule", "weight_decay", "batch", "epochs", "steps",
                            "seed", "precision", "bits", "limit_train", "gradient_bits"})
      if (const ordered_json* value = values ? find_value(*values, {key}) : nullptr)
        all[key] = value->is_number() ? *value : ordered_json(value_text(*value));
  return all;
}

// TensorBoard shows texts as Markdown, where lines that begin with four spaces are code.
std::string recipe_text(const RunRecord& record) {
  std::string text = "    " + record.spec_text;
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1))
    text.insert(at + 1, "    ");
  return fmt::format("Trained by\n\n    {}\n\nwith the network\n\n{}", fmt::join(record.command, " "), text);
}

}  // namespace

std::string event_file_name(double time, const std::string& end) {
  utsname machine{};
  uname(&machine);
  return fmt::format("{}{:010}.{}.{}", kEventsPrefix, static_cast<std::int64_t>(time), machine.nodename, end);
}

RunEvents::RunEvents(Sink sink, const RunRecord& record, double time, bool goes_on, std::uint64_t step)
    : sink_(std::move(sink)), time_(time), step_(step) {
  write(Event(time_, 0).version());
  if (goes_on)
    write(Event(time_, step_ + 1).session_start());
  else
    write(Event(time_, 0).hyperparameters(hyperparameters_of(record)).text("recipe", recipe_text(record)));
}

void RunEvents::add_metrics(const ordered_json& line, double time) {
  time_ = time;
  step_ = find_count(line, {line.contains("seed") ? "epoch" : "step"}).value_or(step_);
  Event scalars = event();
  for (const auto& [key, value] : line.items())
    if (const std::string tag = tag_of(key); value.is_number() && !tag.empty())
      scalars.scalar(tag, value.get<double>());
  write(scalars);
}

void RunEvents::add_earlier(const std::vector<ordered_json>& lines, double start) {
  for (const ordered_json& line : lines) {
    for (const char* key : {"seconds", "evaluation_seconds"}) start += find_number(line, {key}).value_or(0);
    add_metrics(line, start);
  }
}

void RunEvents::add_weights(const Network& network) {
  Event weights = event();
  for (const NetworkTensor& tensor : network.tensors())
    if (tensor.arena == 0) weights.histogram("weights/" + tensor.name, network.read(tensor));
  write(weights);
}

void RunEvents::add_results(const ordered_json& results) {
  step_ = find_count(results, {"step"}).value_or(step_);
  if (const auto joules = find_number(results, {"energy_joules"}))
    write(event().scalar("training/energy_joules", *joules));
}

}  // namespace trainer
