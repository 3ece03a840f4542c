// A saved network, loaded on a backend with its weights, input scaling and label names, and its predictions: for single images,
// and for a whole test set with the sums that `trainer eval` prints and a run's report shows. Several networks can answer as one,
// a committee: by the mean of their log-softmax.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "models/network.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

// Which network, on which device, and on which test set: the options that eval, predict and a run's report share.
struct InferenceOptions {
  std::string run;                   // as in resolve_run
  std::vector<std::string> members;  // other runs, which answer together with it
  std::optional<int> views;  // 1 or kViews: test-time augmentation (train/evaluation.hpp) [the recipe's]
  DeviceRequest device;
  std::string data;  // --data; empty: the data that the run itself was trained on
  bool skip_bad_images = false;
  bool transpose = false;  // as the run's settings say for its own data
};

class TrainedNetwork {
 public:
  // Computes in the precision of the training if the device supports it. Throws FileError, BackendError; UsageError also if a member
  // takes other images or knows other labels than the run.
  TrainedNetwork(const Environment& environment, const InferenceOptions& options, int batch);

  const std::filesystem::path& path() const { return path_; }
  const SavedNetwork& saved() const { return saved_; }
  Network& network() { return network_.front(); }
  const char* device_name() const;  // "GPU" or "CPU"
  int views() const { return views_.value_or(saved_.spec.recipe.views); }
  const char* precision() const { return precision_name(device_.precision); }  // "fp32"
  std::string label_name(int label) const;  // the name of the label's folder of pictures, or the number

  std::vector<std::string> others() const;  // the files of the other members

  // Each image's logits, [count, classes]; of a committee the mean log-softmax. `images` are [count, h, w, c]. Throws FileError if
  // one is not finite.
  std::vector<float> logits(std::span<const std::uint8_t> images);
  // The softmax of the logits, with the views that were requested.
  std::vector<float> probabilities(std::span<const std::uint8_t> images);

 private:
  std::vector<float> own_logits(std::span<const std::uint8_t> images);

  std::filesystem::path path_;
  SavedNetwork saved_;
  std::optional<int> views_;
  std::vector<TrainedNetwork> others_;
  DeviceChoice device_;
  std::vector<Network> network_;  // one, made when the plan is known
};

// The test set that `options` name, its labels numbered as the network's of the same name; it may have only some of them, and no
// training images. Throws UsageError if its images or labels do not fit the network; data::DataError, FileError.
data::Dataset matching_test_data(const Environment& environment, const InferenceOptions& options,
                                 const SavedNetwork& saved);

struct TestAnswers {
  Score score;
  int classes = 0;
  std::vector<std::uint64_t> confusion;   // [label, prediction]
  std::vector<float> logits;              // [image, class]
  std::vector<std::uint8_t> predictions;  // [image]
  std::vector<float> confidences;         // [image]: the probability of the prediction

  std::uint64_t at(int label, int prediction) const {
    return confusion[static_cast<std::size_t>(label) * classes + prediction];
  }
  std::uint64_t labelled(int label) const;
  std::uint64_t predicted(int prediction) const;
};

// Each of several ranks works out a part of the answers, and all get them.
TestAnswers answer_test_set(TrainedNetwork& trained, const data::Split& test, Communicator* ranks = nullptr);

// part / whole; 0 if whole is 0.
double fraction(std::uint64_t part, std::uint64_t whole);

}  // namespace trainer
