// A run's state in one file, in the safetensors format: parameters, running statistics and the optimiser's
// values as named tensors in their canonical layout, and beside them, as metadata strings, all that a
// stranger needs to go on: the network's YAML, the settings, the input scaling, the position, the sums of the
// pass in progress. A model file is the same without the optimiser and the position. Written whole or not at
// all.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/store/safetensors.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

inline constexpr int kCheckpointVersion = 1;

// The metadata of a saved network, parsed and checked.
struct SavedNetwork {
  Spec spec;
  TrainSettings settings;
  Shape image;
  int classes = 0;
  std::vector<std::string> label_names;
  PixelScaling scaling;
  std::string fingerprint;  // of the data set
  bool resumable = false;   // a checkpoint, not only a model
  LoopPosition position;
  StepState state;
  int threads = 0;
  std::string engine;  // engine_text of the device that it was written on
};

// The precision that it was trained in, for both engines.
RecipePrecisions trained_precision(const SavedNetwork& saved);

// What decides the last bits of a training beside the number of threads: libraries and instruction sets.
std::string engine_text(const DeviceInfo& info);

// Writes the network's tensors; with `position` a checkpoint, without a model. Throws FileError, and
// BackendError for values that are not finite; a file that is there stays as it is then.
void save_network(const std::filesystem::path& path, const Setup& setup, const Network& network,
                  const DeviceInfo& info, const LoopPosition* position);

// Reads the metadata of a file that save_network wrote; FileError with the reason for any other.
SavedNetwork read_saved_network(const SafetensorsFile& file);

// Puts the file's tensors into the network; FileError naming a tensor that is missing or has another shape.
// Before it throws, nothing of the network has changed.
void load_tensors(const SafetensorsFile& file, Network& network);

}  // namespace trainer
