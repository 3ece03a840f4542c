// Test-time augmentation: an image is answered by what a network says of several views of it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/shape.hpp"

namespace trainer {

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
