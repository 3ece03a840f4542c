// A run as events for TensorBoard: a training that goes on and one that is done (`runs export`) are told by the same calls.
//   The numbers of a line of metrics.jsonl become scalars, "loss/test", "accuracy/train", "time/seconds", at its step; of a sprint
// the seeds count instead of steps. "recipe" is a text; the hyperparameters make runs a table; "weights/..." are histograms.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "models/network.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/protobuf.hpp"

namespace trainer {

// An event of TensorBoard's event files: values of one step. Messages and field numbers are TensorFlow's (core/util/event.proto,
// core/framework/summary.proto, tensor.proto) and those of TensorBoard's hparams (plugins/hparams/plugin_data.proto). Scalars,
// histograms and images have the fields that every version reads; text and hyperparameters exist as tensors alone.
//   A file holds one record an event (TensorFlow's core/lib/io/record_writer.h): the length of the message in 8 bytes and its CRC,
// the message and its CRC, all little-endian. A CRC is CRC-32C (RFC 3720, appendix B.4), masked: rotated by 15 bits to the right,
// plus a constant. Readers take what is in front of a record that is cut short.
//   Tags group values: "loss/train" and "loss/test" stand in one group.
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

// The file of a part of a run that began at `time`, in seconds since 1970; TensorFlow names its files on this machine so.
[[nodiscard]] std::string event_file_name(double time, const std::string& end);

class RunEvents {
 public:
  using Sink = std::function<void(const std::string& record)>;  // takes a whole record

  // Begins the events of `record`. If it `goes_on` after `step`, earlier files hold them, and what they say of later steps is
  // taken back, since those are trained again.
  RunEvents(Sink sink, const RunRecord& record, double time, bool goes_on = false, std::uint64_t step = 0);

  void add_metrics(const nlohmann::ordered_json& line, double time);
  // Lines that were written before, of a run that began at `start`: their times follow from their seconds.
  void add_earlier(const std::vector<nlohmann::ordered_json>& lines, double start);
  void add_weights(const Network& network);  // without the optimiser's state
  void add_results(const nlohmann::ordered_json& results);
  void write(const Event& event) { sink_(event.record()); }
  [[nodiscard]] Event event() const { return {time_, step_}; }  // at the last line or the results

 private:
  Sink sink_;
  double time_;
  std::uint64_t step_;
};

}  // namespace trainer
