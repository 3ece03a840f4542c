// The weights of a network in the layout of another program, from and to our own (docs/weights.md has both).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/store/safetensors.hpp"

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

}  // namespace trainer
