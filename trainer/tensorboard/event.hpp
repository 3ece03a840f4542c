// An event of TensorBoard's event files: values of one step. Messages and field numbers are TensorFlow's (core/util/event.proto,
// core/framework/summary.proto, tensor.proto) and those of TensorBoard's hparams (plugins/hparams/plugin_data.proto). Scalars,
// histograms and images have the fields that every version reads; text and hyperparameters exist as tensors alone.
//   A file holds one record an event (TensorFlow's core/lib/io/record_writer.h): the length of the message in 8 bytes and its CRC,
// the message and its CRC, all little-endian. A CRC is CRC-32C (RFC 3720, appendix B.4), masked: rotated by 15 bits to the right,
// plus a constant. Readers take what is in front of a record that is cut short.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "data/image.hpp"
#include "trainer/system/protobuf.hpp"

namespace trainer {

// Tags group values: "loss/train" and "loss/test" stand in one group.
class Event {
 public:
  Event(double time, std::uint64_t step);  // seconds since 1970

  // The version of this form, which a file's first event holds.
  Event& version();
  // Takes back what the run's earlier files say of this step and later ones.
  Event& session_start();
  Event& scalar(const std::string& tag, double value);                      // as fp32
  Event& histogram(const std::string& tag, std::span<const float> values);  // none if one is not finite
  Event& image(const std::string& tag, const data::Image& image);
  Event& text(const std::string& tag, const std::string& markdown);
  // Numbers and texts by name: the run's row in the table of hyperparameters.
  Event& hyperparameters(const nlohmann::ordered_json& values);

  [[nodiscard]] std::string record() const;  // framed

 private:
  void add_tensor(const std::string& tag, const char* plugin, const ProtobufMessage& content,
                  const ProtobufMessage& tensor);

  double time_;
  ProtobufMessage event_, summary_;
};

}  // namespace trainer
