// A run's state in one file, in the safetensors format: parameters, running statistics and the optimiser's values as named
// tensors in their canonical layout, and, as metadata strings, all else that is needed to resume: the network's YAML, the
// settings, the input scaling, the position, and the sums of the epoch in progress. A model file is the same without the
// optimiser and the position; if the recipe averages the weights, a checkpoint has the averages too ("conv1.weight.ema"), and a
// model has them in the weights' place. A file is written whole or not at all.
#pragma once

#include <filesystem>
#include <span>
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
  std::string fingerprint;  // the data set's
  std::string fit;          // "digit" or "picture", as its images are (data/image.hpp); empty: not known
  bool resumable = false;   // a checkpoint, not only a model
  LoopPosition position;
  StepState state;
  int threads = 0;
  std::string engine;  // engine_text of the device that it was written on
};

// The precision of the settings that something was trained with, for both engines.
RecipePrecisions trained_precision(const TrainSettings& settings);

// Writes the network's tensors: a checkpoint if `position` is given, else a model. Throws FileError, and BackendError for values
// that are not finite; an existing file then stays as it is.
void save_network(const std::filesystem::path& path, const Setup& setup, const Network& network,
                  const DeviceInfo& info, const LoopPosition* position);

// Reads the metadata of a file that save_network wrote; FileError with the reason for any other.
SavedNetwork read_saved_network(const SafetensorsFile& file);

// The numbers of a tensor as tests use them: its moving average if the file has one. Throws FileError with its name if it is missing, has
// another shape or holds a number that is not finite.
std::vector<float> tensor_values(const SafetensorsFile& file, const std::string& name,
                                 const std::vector<int>& shape);

// A tensor that a network wants; without a shape it may be missing, or have any.
struct WantedTensor {
  std::string name;
  std::vector<int> shape;
};

// Every tensor of the file that is missing, has another shape or is left over, an optimiser's aside: "'conv1.weight' [8, 3, 3, 1] is
// missing; ...". Empty: they are those that are wanted. Throws FileError for one that is not finite.
std::string differences_of(const SafetensorsFile& file, std::span<const WantedTensor> wanted);

// Loads the file's tensors into the network that goes on with its training. Throws FileError with the name of a tensor that is missing,
// has another shape or holds a number that is not finite, before anything in the network has changed.
void load_tensors(const SafetensorsFile& file, Network& network);

// Gives the network's exchange between ranks what it had left out when the file was written, by any number of ranks. Throws FileError.
void load_residuals(const SafetensorsFile& file, Network& network);

// Throws FileError unless the file's weights and running statistics fit the plan as a start of its training (--from); with
// `new_head` the last layer's are ignored. The message names every tensor that is missing, has another shape or is left over.
void require_weights(const SafetensorsFile& file, const Plan& plan, bool new_head);

// Loads the weights and running statistics that tests use, without an optimiser's state; of a new head none.
void load_weights(const SafetensorsFile& file, Network& network, bool new_head);

}  // namespace trainer
