// The data set on a device, and the network's answers to a part of it: what a training loop and a sprint both use. With test-time
// augmentation an image is answered by what the network says of several views of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/network.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// The data set where the steps can read it. The Setup that it was made from outlives it.
class ResidentData {
 public:
  ResidentData(Backend& backend, const Setup& setup);
  StepInput train_input(const Batching& batching) const;  // from the training split: training or validation
  StepInput test_input(const Batching& batching) const;

 private:
  PixelScaling scaling_;
  Augmentation augmentation_;
  Buffer train_images_, train_labels_, test_images_, test_labels_;
};

inline constexpr std::chrono::microseconds kPollInterval{20};  // between polls of a busy device

// The mean loss and accuracy over the images that a state has summed up.
Score score_of(const StepState& sums);

// The same of logits [count, classes] and their images' labels, at least one.
Score score_of(std::span<const float> logits, std::span<const std::uint8_t> labels);

// Launches `steps` replays of a recorded step, as many at once as the backend takes, and waits whenever it is busy; false if
// `stop_asked` returned true. The last launches may still be running.
bool launch_steps(
    Recording& step, Backend& backend, std::uint64_t steps,
    const std::function<bool()>& stop_asked = [] { return false; });

// The network's logits [count, classes] of images: recorded once, run as often as needed. Network and backend outlive it.
class Inference {
 public:
  Inference(Network& network, Backend& backend, const StepInput& input);  // its images are on the device
  // run(images) copies `count` images [h, w, c] to the device.
  Inference(Network& network, Backend& backend, std::size_t count, const PixelScaling& scaling,
            const Augmentation& augmentation);

  std::vector<float> run();
  std::vector<float> run(std::span<const std::uint8_t> images);

 private:
  Network& network_;
  Backend& backend_;
  std::size_t count_;
  Buffer images_, labels_;  // empty where the caller's are used
  std::unique_ptr<Recording> step_;
};

// Evaluates the network on all images of an input, of which each of several ranks takes a part: recorded once, run as often as
// needed. Its arguments outlive it.
class Evaluation {
 public:
  Evaluation(Network& network, Backend& backend, const StepInput& input);

  // Waits for the result and reads it back with the state of the training, in one copy. Nothing if `stop_asked` ended it early, on
  // any rank.
  struct Result {
    Score score;
    StepState training;
  };
  std::optional<Result> run(const std::function<bool()>& stop_asked);

 private:
  Network& network_;
  Backend& backend_;
  std::uint64_t steps_;
  std::unique_ptr<Recording> step_;
};

// A single evaluation; nothing if `stop_asked` ended it early.
std::optional<Score> evaluate(Network& network, Backend& backend, const StepInput& input,
                              const std::function<bool()>& stop_asked);

// log(sum exp(y_j)), the logarithm of softmax's denominator: the loss is this less the label's logit, whatever its size.
[[nodiscard]] double log_sum_exp(std::span<const float> logits);

// Replaces logits [count, classes] by their log-softmax, times `weight`.
void take_log_softmax(std::span<float> logits, std::size_t classes, double weight);

inline constexpr int kViews = 5;
inline constexpr const char* kViewsText =
    "5 of the least certain tenth of the images: a class of results of its own";

// The logits [count, classes] of images [count, h, w, c].
using LogitsOf = std::function<std::vector<float>(std::span<const std::uint8_t>)>;

// How many shifted images with_views() asks about, for so many images.
std::size_t shifted_images(std::size_t images);

// `logits` are those of the images; returns them, but for the tenth of the images whose two largest logits differ least (at least
// 100, if there are so many) the mean log-softmax of five views: the image, counted twice, and the image shifted by one pixel
// up, down, left and right, with the background, 0, where nothing was. If a logit is not finite, all stay.
std::vector<float> with_views(std::vector<float> logits, std::span<const std::uint8_t> images,
                              const Shape& image, const LogitsOf& logits_of);

}  // namespace trainer
