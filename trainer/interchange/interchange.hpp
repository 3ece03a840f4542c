// The weights of a network in the layout of another program, from and to our own (docs/weights.md has both); and a trained network as
// an ONNX model (onnx.ai, onnx.proto): from the bytes of images to probabilities.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

// native is our own. torch is what a torch.nn.Module's state_dict holds whose layers are named as ours (conv1, batchnorm1, dense2):
// convolutions [out, in, h, w]; the columns of a dense layer after a feature map in the order channel, h, w; a batch normalisation
// without gain has a weight of 1; and the recipe's logit_scale is multiplied into the last layer.
enum class Layout { native, torch };

struct LaidOutTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};

// The weights and running statistics in `file`, a network of this program with that plan, laid out as torch. Throws FileError with the
// tensor's name if one is missing, has another shape or is not finite.
std::vector<LaidOutTensor> torch_weights(const SafetensorsFile& file, const Plan& plan);

// The reverse: our values of each parameter of the plan, by its name, from a file of another program. A torch file may also have the
// names of a torch.nn.Sequential ("0.weight"): in their order, its layers become those of the plan that have weights. Throws FileError that
// names every tensor that is missing, has another shape, is left over or is not finite, and what is wanted.
std::map<std::string, std::vector<float>> read_weights(SafetensorsFile& file, const Plan& plan,
                                                       Layout layout);

// torchvision normalises like this: (x - mean) / deviation, x = pixel / 255.
struct Normalisation {
  double mean = 0, deviation = 1;
};
Normalisation normalisation_of(const PixelScaling& scaling);

// The versions of ONNX's operators that a model can be written for. From 13 on, every operator that a model uses means the same (an
// older Softmax runs over a flattened map); the newest is the last that the file format was checked for.
inline constexpr int kOldestOpset = 13, kUsualOpset = 17, kNewestOpset = 24;

// The model's bytes: input `image`, uint8 [N, channels, height, width], output `probabilities`, float [N, classes]; N is free. The
// graph crops and scales images as the training did. Nodes are named as the plan's layers, and weights as torch_weights() names them,
// from which they are; dropout, which does nothing in inference, is left out. `properties` becomes metadata_props.
std::string onnx_model(const SavedNetwork& saved, const Plan& plan, std::span<const LaidOutTensor> weights,
                       int opset, const Metadata& properties);

}  // namespace trainer
