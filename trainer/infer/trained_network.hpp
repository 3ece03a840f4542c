// A saved network made ready to be asked: on a backend, with its weights, its input scaling and its label
// names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

class TrainedNetwork {
 public:
  // `run_or_file` as in resolve_run; on the device of `wish`, in the precision of its training where the
  // device has it. Throws FileError, UsageError, BackendError.
  TrainedNetwork(const Environment& environment, const std::string& run_or_file, DeviceRequest request,
                 int batch);

  const std::filesystem::path& path() const { return path_; }
  const SavedNetwork& saved() const { return saved_; }
  Network& network() { return network_.front(); }
  const DeviceChoice& device() const { return device_; }
  std::string label_name(int label) const;  // the picture folder's name, or the number

  // Softmax of the logits of each of the images [count, h, w, c]: [count, classes].
  std::vector<float> probabilities(const std::vector<std::uint8_t>& images);

 private:
  std::filesystem::path path_;
  SavedNetwork saved_;
  DeviceChoice device_;
  std::vector<Network> network_;  // one, made when the plan is known
};

}  // namespace trainer
