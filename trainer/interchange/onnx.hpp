// A trained network as an ONNX model (onnx.ai, onnx.proto): from the bytes of images to probabilities.
#pragma once

#include <span>
#include <string>

#include "trainer/interchange/layout.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

// The versions of ONNX's operators that a model can be written for. From 13 on, every operator that a model uses means the same (an
// older Softmax runs over a flattened map); the newest is the last that the file format was checked for.
inline constexpr int kOldestOpset = 13, kUsualOpset = 17, kNewestOpset = 24;

// The model's bytes: input `image`, uint8 [N, channels, height, width], output `probabilities`, float [N, classes]; N is free. The
// graph crops and scales images as the training did. Nodes are named as the plan's layers, and weights as torch_weights() names them,
// from which they are; dropout, which does nothing in inference, is left out. `properties` becomes metadata_props.
std::string onnx_model(const SavedNetwork& saved, const Plan& plan, std::span<const LaidOutTensor> weights,
                       int opset, const Metadata& properties);

}  // namespace trainer
