// The numbers of fields and types are those of onnx.proto.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "trainer/interchange/interchange.hpp"
#include "trainer/system/protobuf.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

namespace {

using Names = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

enum DataType : std::uint8_t { kFloat = 1, kUint8 = 2, kInt64 = 7 };

// The version of the file format that came with a version of the operators.
int format_of(int opset) {
  const int firsts[] = {15, 19, 21, 23, 24};  // opsets of the formats 8, 9, 10, 11 and 12
  return 7 + static_cast<int>(std::ranges::count_if(firsts, [&](int first) { return opset >= first; }));
}

ProtobufMessage attribute(const char* name, float value) {
  return ProtobufMessage().bytes(1, name).float32(2, value).integer(20, 1);
}

ProtobufMessage attribute(const char* name, std::int64_t value) {
  return ProtobufMessage().bytes(1, name).integer(3, value).integer(20, 2);
}

ProtobufMessage attribute(const char* name, const Integers& values) {
  ProtobufMessage message;
  for (const std::int64_t value : values) message.integer(8, value);
  return message.bytes(1, name).integer(20, 7);
}

ProtobufMessage described(const std::string& name, DataType type, const Integers& dimensions) {
  ProtobufMessage shape;
  shape.message(1, ProtobufMessage().bytes(2, "N"));
  for (const std::int64_t extent : dimensions) shape.message(1, ProtobufMessage().integer(1, extent));
  const ProtobufMessage tensor = ProtobufMessage().integer(1, type).message(2, shape);
  return ProtobufMessage().bytes(1, name).message(2, ProtobufMessage().message(1, tensor));
}

class Graph {
 public:
  Graph(const Spec& spec, const Plan& plan) : spec_(spec), plan_(plan) {}

  ProtobufMessage message(std::span<const LaidOutTensor> weights, const PixelScaling& scaling) {
    for (const LaidOutTensor& tensor : weights)
      constant<float>(tensor.name, {tensor.shape.begin(), tensor.shape.end()}, tensor.values);
    const Shape& image = plan_.input.image;
    graph_.message(11, described("image", kUint8, {image.c, image.h, image.w}));
    read_image(scaling);
    for (const PlannedOp& op : plan_.ops)
      for (const int layer : op.layers) add_layer(op, static_cast<std::size_t>(layer));
    node("Softmax", "probabilities", {x_});
    graph_.message(12, described("probabilities", kFloat, {plan_.input.classes}));
    return graph_.bytes(2, spec_.name).bytes(10, spec_.about);
  }

 private:
  template <class Number>
  std::string constant(const std::string& name, const Integers& shape, std::span<const Number> values) {
    ProtobufMessage tensor;
    for (const std::int64_t extent : shape) tensor.integer(1, extent);
    tensor.integer(2, std::is_same_v<Number, float> ? kFloat : kInt64).bytes(8, name);
    tensor.bytes(9, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});  // little-endian
    graph_.message(5, tensor);
    return name;
  }
  std::string number(const std::string& name, double value) {
    return constant<float>(name, {}, std::vector{static_cast<float>(value)});
  }
  std::string integers(const std::string& name, const Integers& values) {
    return constant<std::int64_t>(name, {static_cast<std::int64_t>(values.size())}, values);
  }

  // Adds a node that is named as its output, and returns that name.
  std::string node(const char* type, const std::string& output, const Names& inputs,
                   const std::vector<ProtobufMessage>& attributes = {}) {
    ProtobufMessage message;
    for (const std::string& input : inputs) message.bytes(1, input);
    message.bytes(2, output).bytes(3, output).bytes(4, type);
    for (const ProtobufMessage& one : attributes) message.message(5, one);
    graph_.message(1, message);
    return output;
  }

  // Column i holds the two pixels between which the square in the middle has its i-th of `side` values.
  std::string interpolation(const char* name, int side) {
    const double middle = (side - 1) / 2.0;
    std::vector<float> matrix(static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
    const auto at_row = [&](int row, int column) -> float& {
      return matrix.at(static_cast<std::size_t>(row) * static_cast<std::size_t>(side) +
                       static_cast<std::size_t>(column));
    };
    for (int i = 0; i < side; ++i) {
      const double at = middle + (i - middle) * spec_.recipe.input.augmentation.crop / side;
      const int first = std::clamp(static_cast<int>(at), 0, std::max(side - 2, 0));
      at_row(first, i) = static_cast<float>(first + 1 - at);
      if (side > 1) at_row(first + 1, i) = static_cast<float>(at - first);
    }
    return constant<float>(name, {side, side}, matrix);
  }

  // From bytes to what the first layer sees.
  void read_image(const PixelScaling& scaling) {
    const Shape &image = plan_.input.image, &shown = plan_.shown;
    x_ = node("Cast", "pixels", {"image"}, {attribute("to", std::int64_t{kFloat})});
    if (spec_.recipe.input.augmentation.crop > 0) {  // by columns, then, with both exchanged, by rows
      const ProtobufMessage exchange = attribute("perm", Integers{0, 1, 3, 2});
      x_ = node("MatMul", "crop.columns", {x_, interpolation("crop.width", image.w)});
      x_ = node("Transpose", "crop.exchanged", {x_}, {exchange});
      x_ = node("MatMul", "crop.rows", {x_, interpolation("crop.height", image.h)});
      x_ = node("Transpose", "crop.scaled", {x_}, {exchange});
    }
    if (shown != image) {
      const std::int64_t top = (image.h - shown.h) / 2, left = (image.w - shown.w) / 2;
      x_ = node("Slice", "centre",
                {x_, integers("centre.begin", {top, left}),
                 integers("centre.end", {top + shown.h, left + shown.w}), integers("centre.axes", {2, 3})});
    }
    x_ = node("Mul", "scaled", {x_, number("scale", scaling.scale)});
    x_ = node("Add", "normalised", {x_, number("shift", scaling.shift)});
    shape_ = shown;
    if (scaling.by_image) standardise();
  }

  // kernels/math/standardisation.hpp. An image becomes one line, whose mean is an average pool: ReduceMean changed with opset 18.
  void standardise() {
    const double least = 1 / static_cast<double>(shape_.size());
    const std::string line = node("Reshape", "line", {x_, integers("line.shape", {0, 1, 1, -1})});
    const std::string mean = node("GlobalAveragePool", "line.mean", {line});
    const std::string centred = node("Sub", "line.centred", {line, mean});
    const std::string squares = node("Mul", "line.squares", {centred, centred});
    const std::string spread = node("GlobalAveragePool", "line.variance", {squares});
    const std::string floored = node("Max", "line.floored", {spread, number("line.least", least)});
    const std::string scaled =
        node("Div", "line.scaled", {centred, node("Sqrt", "line.deviation", {floored})});
    x_ = node("Reshape", "standardised",
              {scaled, integers("standardised.shape", {0, shape_.c, shape_.h, shape_.w})});
  }

  void add_layer(const PlannedOp& op, std::size_t index) {
    const LayerSpec& layer = spec_.layers[index];
    const std::string& name = plan_.layers[index].name;
    if (layer.opens_block) {
      skip_ = x_;
      skip_is_map_ = is_map_;
    }
    if (layer.kind == LayerKind::dropout) return;
    if (layer.kind == LayerKind::dense && is_map_) {
      x_ = node("Flatten", name + ".input", {x_});
      is_map_ = false;
    } else if (!is_map_ && (layer.kernel > 0 || layer.size > 0 || layer.kind == LayerKind::avgpool)) {
      // a convolution or a pool; the size of a global one is 0
      x_ = node("Reshape", name + ".input", {x_, integers(name + ".shape", {0, shape_.c, 1, 1})});
      is_map_ = true;
    }
    x_ = output_of(op, layer, name);
    shape_ = plan_.layers[index].out;
    graph_.message(
        13, described(x_, kFloat, is_map_ ? Integers{shape_.c, shape_.h, shape_.w} : Integers{shape_.c}));
  }

  // Adds the nodes of a layer, from x_, and returns the name of their result, which is the layer's.
  std::string output_of(const PlannedOp& op, const LayerSpec& layer, const std::string& name) {
    const ProtobufMessage strides = attribute("strides", Integers{layer.stride, layer.stride});
    const auto window = [](int size) { return attribute("kernel_shape", Integers{size, size}); };
    Names inputs{x_, name + ".weight"};
    if (layer.bias) inputs.push_back(name + ".bias");
    switch (layer.kind) {
      case LayerKind::conv: {
        const Border& pad = std::get<ConvDesc>(op.desc).pad;
        const ProtobufMessage pads = attribute("pads", Integers{pad.top, pad.left, pad.bottom, pad.right});
        return node("Conv", name, inputs, {window(layer.kernel), strides, pads});
      }
      case LayerKind::maxpool:
        return node("MaxPool", name, {x_}, {window(layer.size), strides});
      case LayerKind::avgpool:
        if (layer.size == 0) return node("GlobalAveragePool", name, {x_});
        return node("AveragePool", name, {x_}, {window(layer.size), strides});
      case LayerKind::dense:
        return node("Gemm", name, inputs, {attribute("transB", std::int64_t{1})});
      case LayerKind::relu:
        return node("Relu", name, {x_});
      case LayerKind::gelu:
        return gelu(name);
      case LayerKind::leaky_relu:
        return node("LeakyRelu", name, {x_}, {attribute("alpha", static_cast<float>(layer.slope))});
      case LayerKind::batchnorm:
        inputs.insert(inputs.end(), {name + ".running_mean", name + ".running_var"});
        return node("BatchNormalization", name, inputs,
                    {attribute("epsilon", static_cast<float>(layer.epsilon))});
      case LayerKind::residual:
        return node("Add", name, {x_, skip(name)});
      case LayerKind::dropout:
        break;
    }
    return x_;
  }

  // The input of the residual block `name`, as a map or a vector as x_ is one.
  std::string skip(const std::string& name) {
    if (skip_is_map_ == is_map_) return skip_;
    const Integers shape = is_map_ ? Integers{0, shape_.c, 1, 1} : Integers{0, shape_.c};
    return node("Reshape", name + ".skip", {skip_, integers(name + ".shape", shape)});
  }

  // GeluDesc's formula, by (1 + tanh(t)) / 2 = sigmoid(2 t): the operator Gelu came with opset 20 only.
  std::string gelu(const std::string& name) {
    const double slope = 2 * std::sqrt(2 * std::numbers::inv_pi);
    const std::string linear = number(name + ".linear", slope);
    const std::string cubic = number(name + ".cubic", slope * 0.044715);
    const std::string square = node("Mul", name + ".square", {x_, x_});
    const std::string bent = node("Mul", name + ".bent", {square, cubic});
    const std::string factor = node("Add", name + ".factor", {bent, linear});
    const std::string gate = node("Sigmoid", name + ".gate", {node("Mul", name + ".t", {x_, factor})});
    return node("Mul", name, {x_, gate});
  }

  const Spec& spec_;
  const Plan& plan_;
  ProtobufMessage graph_;
  std::string x_;  // the value that the next node reads,
  Shape shape_;    //   its shape, and whether it is a map [N, c, h, w] or a vector [N, c]
  bool is_map_ = true;
  std::string skip_;  // the value that the open residual block reads
  bool skip_is_map_ = true;
};

}  // namespace

std::string onnx_model(const SavedNetwork& saved, const Plan& plan, std::span<const LaidOutTensor> weights,
                       int opset, const Metadata& properties) {
  ProtobufMessage model;
  model.integer(1, format_of(opset)).bytes(2, "mnist-trainer").bytes(3, kVersion);
  model.message(7, Graph(saved.spec, plan).message(weights, saved.scaling));
  model.message(8, ProtobufMessage().bytes(1, "").integer(2, opset));
  for (const auto& [key, value] : properties)
    model.message(14, ProtobufMessage().bytes(1, key).bytes(2, value));
  return model.data();
}

}  // namespace trainer
