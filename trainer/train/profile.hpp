// `train --profile FILE`: the time of each part of a training step, compared with what the device can do. A second network with
// the training's seed runs some steps before the training begins and leaves it alone: it ends with the same bits. A stopwatch of
// the backend (a GPU's events, a CPU's clock) surrounds each part, so that the parts add up to more than a step takes in
// training.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/device/device_limits.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

class Console;

struct ProfiledPart {
  std::string name;         // the op's ("conv1"), or "gather", "update"
  std::string direction;    // "forward", "backward"; empty for gather and update
  std::string text;         // "conv 5x5x24 on 28x28x1, maxpool 2, relu"
  double seconds = 0;       // median over the steps
  std::uint64_t flops = 0;  // for the batch, as the plan counts them
  std::uint64_t bytes = 0;  // inputs, outputs, parameters, gradients, each once, as if without caches
};

struct ProfiledEvent {
  std::size_t part = 0;
  std::uint64_t step = 0;
  double start = 0;  // seconds since the first timed step began, without pauses between a step's parts
  double seconds = 0;
};

struct Profile {
  std::string model;
  std::string device;
  std::string precision;
  std::string engine;  // --engine
  int batch = 0;
  bool device_clock = false;        // the parts' times are the device's own, not the host's
  std::uint64_t steps = 0;          // timed
  std::vector<ProfiledPart> parts;  // in the step's order
  std::vector<ProfiledEvent> events;
  double parts_seconds = 0;  // the sum over all parts
  double step_seconds = 0;   // median of steps that run as in training
  DeviceLimit arithmetic, memory;
};

// Takes at most about 10 seconds, unless one step takes longer; ends early once `stop_asked` returns true.
Profile profile_training(const Setup& setup, Backend& backend, const ResidentData& data,
                         const std::function<bool()>& stop_asked);

std::string profile_table(const Profile& profile);
nlohmann::ordered_json profile_json(const Profile& profile);

// The first steps' events for chrome://tracing and Perfetto: complete events ("ph": "X"), microseconds.
nlohmann::ordered_json chrome_trace(const Profile& profile);

// Profiles a training that is about to begin: the table and the event go to `console`, the trace into `file`. Throws FileError.
void write_profile(const std::string& file, const Setup& setup, Backend& backend, const ResidentData& data,
                   Console& console, const std::function<bool()>& stop_asked);

}  // namespace trainer
