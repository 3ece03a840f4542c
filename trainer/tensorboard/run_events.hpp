// A run as events for TensorBoard: a training that goes on and one that is done (`runs export`) are told by the same calls.
//   The numbers of a line of metrics.jsonl become scalars, "loss/test", "accuracy/train", "time/seconds", at its step; of a sprint
// the seeds count instead of steps. "recipe" is a text; the hyperparameters make runs a table; "weights/..." are histograms.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/tensorboard/event.hpp"

namespace trainer {

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
