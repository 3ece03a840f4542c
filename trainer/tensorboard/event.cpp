#include "trainer/tensorboard/event.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  constexpr std::uint32_t kCastagnoli = 0x82F63B78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    table[byte] = byte;
    for (int bit = 0; bit < 8; ++bit)
      table[byte] = (table[byte] >> 1U) ^ ((table[byte] & 1U) != 0 ? kCastagnoli : 0);
  }
  return table;
}();

std::string little_endian(std::uint64_t value, int count) {
  std::string bytes;
  for (; count > 0; --count, value >>= 8U) bytes += static_cast<char>(value & 0xFFU);
  return bytes;
}

std::string with_crc(const std::string& bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes)
    crc = kCrcTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFFU] ^ (crc >> 8U);
  crc = ~crc;
  return bytes + little_endian(((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U, 4);
}

enum DataType : std::uint8_t { kFloat = 1, kString = 7 };

// A reader refuses a message whose strings are not UTF-8.
std::string utf8(const std::string& text) {
  return ordered_json::parse(to_text(text)).get<std::string>();
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

}  // namespace trainer
