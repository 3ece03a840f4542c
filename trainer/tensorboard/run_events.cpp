#include "trainer/tensorboard/run_events.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>
#include <string_view>
#include <sys/utsname.h>
#include <utility>

#include "trainer/console/json_lookup.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

std::string with_crc(const std::string& bytes) {
  constexpr std::uint32_t kCastagnoli = 0x82F63B78;
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) {
    crc ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) * kCastagnoli);
  }
  crc = ~crc;
  return bytes + little_endian(((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U, 4);
}

enum DataType : std::uint8_t { kFloat = 1, kString = 7 };

// A reader refuses a message whose strings are not UTF-8.
std::string utf8(const std::string& text) {
  return ordered_json::parse(to_text(text)).get<std::string>();
}

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

Event::Event(double time, std::uint64_t step) : time_(time) {
  event_.float64(1, time).integer(2, static_cast<std::int64_t>(step));
}

Event& Event::version() {
  event_.bytes(3, "brain.Event:2");
  return *this;
}

Event& Event::session_start() {
  constexpr int kStart = 1;
  event_.message(7, ProtobufMessage().integer(1, kStart));
  return *this;
}

Event& Event::scalar(const std::string& tag, double value) {
  summary_.message(1, ProtobufMessage().bytes(1, tag).float32(2, static_cast<float>(value)));
  return *this;
}

// Its bins are equally wide, and as many as TensorBoard draws.
Event& Event::histogram(const std::string& tag, std::span<const float> values) {
  constexpr std::size_t kBins = 30;
  const bool finite = std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
  if (values.empty() || !finite) return *this;
  const auto [low, high] = std::ranges::minmax(values);
  const double width = (double{high} - low) / kBins;
  std::vector<double> ends(kBins, high), counts(kBins);
  for (std::size_t bin = 0; bin + 1 < kBins; ++bin) ends[bin] = low + width * static_cast<double>(bin + 1);
  double sum = 0, squares = 0;
  for (const double value : values) {
    const auto bin = static_cast<std::size_t>(width > 0 ? (value - low) / width : 0);
    ++counts[std::min(bin, kBins - 1)];
    sum += value;
    squares += value * value;
  }
  ProtobufMessage bins;
  bins.float64(1, low).float64(2, high).float64(3, static_cast<double>(values.size()));
  bins.float64(4, sum).float64(5, squares).packed(6, ends).packed(7, counts);
  summary_.message(1, ProtobufMessage().bytes(1, tag).message(5, bins));
  return *this;
}

Event& Event::image(const std::string& tag, const data::Image& image) {
  const std::vector<std::uint8_t> file = data::png_file(image);
  ProtobufMessage message;
  message.integer(1, image.height).integer(2, image.width).integer(3, image.channels);
  message.bytes(4, {reinterpret_cast<const char*>(file.data()), file.size()});
  summary_.message(1, ProtobufMessage().bytes(1, tag).message(4, message));
  return *this;
}

Event& Event::text(const std::string& tag, const std::string& markdown) {
  ProtobufMessage tensor;
  add_tensor(tag, "text", {}, tensor.integer(1, kString).message(2, {}).bytes(8, utf8(markdown)));
  return *this;
}

// All that is read of it is the metadata; there must be some value.
Event& Event::hyperparameters(const ordered_json& values) {
  ProtobufMessage start, tensor;
  for (const auto& [name, json] : values.items()) {
    ProtobufMessage value;  // google.protobuf.Value
    if (json.is_number())
      value.float64(2, json.get<double>());
    else
      value.bytes(3, utf8(json.get<std::string>()));
    start.message(1, ProtobufMessage().bytes(1, name).message(2, value));
  }
  add_tensor("_hparams_/session_start_info", "hparams", ProtobufMessage().message(3, start.float64(5, time_)),
             tensor.integer(1, kFloat).message(2, {}).float32(5, 0));
  return *this;
}

std::string Event::record() const {
  ProtobufMessage event = event_;
  if (!summary_.data().empty()) event.message(5, summary_);
  return with_crc(little_endian(event.data().size(), 8)) + with_crc(event.data());
}

void Event::add_tensor(const std::string& tag, const char* plugin, const ProtobufMessage& content,
                       const ProtobufMessage& tensor) {
  constexpr int kClassOfTensors = 2;
  ProtobufMessage metadata;
  metadata.message(1, ProtobufMessage().bytes(1, plugin).message(2, content)).integer(4, kClassOfTensors);
  summary_.message(1, ProtobufMessage().bytes(1, tag).message(8, tensor).message(9, metadata));
}

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
