// Weights in the layouts of both programs.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>

#include "trainer/interchange/interchange.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

namespace {

// How a file holds one tensor of the network.
struct Part {
  WantedTensor there;
  const PlannedParameter* here = nullptr;  // null: torch's weight of a normalisation without gain, which is 1
  std::size_t positions = 1, channels = 1;  // a row is [positions, channels] here, the reverse there
  float factor = 1;                         // by which the values here are multiplied there
};

std::string torch_name(const std::string& layer, ParameterRole role) {
  if (role == ParameterRole::running_variance) return layer + ".running_var";
  const bool factor = role == ParameterRole::gamma, term = role == ParameterRole::beta;
  return fmt::format("{}.{}", layer, factor ? "weight" : term ? "bias" : role_name(role));
}

std::vector<Part> parts_of(const Plan& plan, Layout layout) {
  std::vector<Part> all;
  Shape in = plan.shown;
  for (const PlannedOp& op : plan.ops) {
    for (const PlannedParameter& parameter : op.parameters) {
      Part& part = all.emplace_back(Part{{parameter.name, parameter.desc.shape}, &parameter});
      if (layout == Layout::native) continue;
      std::vector<int>& shape = part.there.shape;
      part.there.name = torch_name(op.name, parameter.desc.role);
      if (const auto* head = std::get_if<HeadDesc>(&op.desc)) part.factor = head->logit_scale;
      if (parameter.desc.role != ParameterRole::weight) continue;
      part.channels = static_cast<std::size_t>(in.c);
      part.positions = parameter.desc.count() / (static_cast<std::size_t>(shape[0]) * part.channels);
      if (shape.size() == 4) std::rotate(shape.begin() + 1, shape.end() - 1, shape.end());
    }
    const auto* norm = std::get_if<BatchNormDesc>(&op.desc);
    if (layout == Layout::torch && norm != nullptr && !norm->gamma)
      all.push_back({{torch_name(op.name, ParameterRole::gamma), {norm->in.c}}});
    in = out_shape(op.desc);
  }
  return all;
}

// Each row of [a, b] values as [b, a].
std::vector<float> transposed_rows(const std::vector<float>& values, std::size_t a, std::size_t b) {
  std::vector<float> result(values.size());
  for (std::size_t row = 0; row < values.size(); row += a * b)
    for (std::size_t i = 0; i < a; ++i)
      for (std::size_t j = 0; j < b; ++j) result[row + j * a + i] = values[row + i * b + j];
  return result;
}

// Names the layers of a torch.nn.Sequential, which are numbers, as the plan does.
void name_layers(std::vector<Tensor>& tensors, const Plan& plan) {
  const auto number_of = [](const Tensor& tensor) { return std::strtol(tensor.name.c_str(), nullptr, 10); };
  const auto is_numbered = [](const Tensor& tensor) { return tensor.name >= "0" && tensor.name < ":"; };
  if (!std::ranges::all_of(tensors, is_numbered)) return;
  std::map<long, std::string> layers;
  for (const Tensor& tensor : tensors)
    layers[number_of(tensor)] = tensor.name.substr(0, tensor.name.find('.'));
  auto layer = layers.begin();
  for (const PlannedOp& op : plan.ops)
    if (!op.parameters.empty() && layer != layers.end()) (layer++)->second = op.name;
  for (Tensor& tensor : tensors) tensor.name.replace(0, tensor.name.find('.'), layers[number_of(tensor)]);
}

std::string differences(const SafetensorsFile& file, const std::vector<Part>& parts) {
  std::vector<WantedTensor> wanted;
  wanted.reserve(parts.size());
  for (const Part& part : parts)
    wanted.push_back({part.there.name, part.here == nullptr ? std::vector<int>{} : part.there.shape});
  return differences_of(file, wanted);
}

}  // namespace

std::vector<LaidOutTensor> torch_weights(const SafetensorsFile& file, const Plan& plan) {
  std::vector<LaidOutTensor> all;
  for (const Part& part : parts_of(plan, Layout::torch)) {
    const std::vector<int>& shape = part.there.shape;
    std::vector<float> values(static_cast<std::size_t>(shape[0]), 1);
    if (part.here != nullptr)
      values = transposed_rows(tensor_values(file, part.here->name, part.here->desc.shape), part.positions,
                               part.channels);
    for (float& value : values) value *= part.factor;
    all.push_back({part.there.name, {shape.begin(), shape.end()}, std::move(values)});
  }
  return all;
}

std::map<std::string, std::vector<float>> read_weights(SafetensorsFile& file, const Plan& plan,
                                                       Layout layout) {
  const bool torch = layout == Layout::torch;
  if (torch) name_layers(file.tensors(), plan);
  const std::vector<Part> parts = parts_of(plan, layout);
  const auto refuse = [&](const std::string& what, const std::string& next_step) {
    throw FileError(fmt::format("{}: {}; {}", file.path().string(), what, next_step));
  };
  if (const std::string text = differences(file, parts); !text.empty())
    refuse(fmt::format("its tensors are not those of '{}' in --layout {}: {}", plan.model,
                       torch ? "torch" : "native", text),
           differences(file, parts_of(plan, torch ? Layout::native : Layout::torch)).empty()
               ? fmt::format("they fit --layout {}", torch ? "native" : "torch")
               : "rename them, or name their network with --model");
  std::map<std::string, std::vector<float>> all;
  for (const Part& part : parts) {
    const auto& [name, shape] = part.there;
    if (part.here == nullptr && file.find(name) == nullptr) continue;
    std::vector<float> values = tensor_values(file, name, shape);
    for (float& value : values) value /= part.factor;
    if (part.here != nullptr)
      all[part.here->name] = transposed_rows(values, part.channels, part.positions);
    else if (std::ranges::any_of(values, [](float value) { return value != 1; }))
      refuse(fmt::format("'{}' is not 1 everywhere, and '{}' has `gain: false` there", name, plan.model),
             "name a copy of its file without that with --model");
  }
  return all;
}

Normalisation normalisation_of(const PixelScaling& scaling) {
  const double deviation = 1 / (255 * static_cast<double>(scaling.scale));
  return {0 - static_cast<double>(scaling.shift) * deviation, deviation};  // never -0
}

}  // namespace trainer
