// Shapes of single layers. "same" padding is TensorFlow's: ceil(length / stride) positions, and where the
// zeros are odd in number the extra one lies at the bottom and the right.
#include "models/plan_layers.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "models/yaml_reader.hpp"

namespace trainer {

namespace {

constexpr std::uint64_t kMostFlops = 1'000'000'000'000'000;  // one image, one layer

struct Sides {
  int before = 0;
  int after = 0;
};

Sides same_padding(int length, int kernel, int stride) {
  const int positions = (length + stride - 1) / stride;
  const int total = std::max((positions - 1) * stride + kernel - length, 0);
  return {total / 2, total - total / 2};
}

Border border_of(const LayerSpec& layer, const Shape& in) {
  switch (layer.padding.kind) {
    case Padding::Kind::valid:
      return {};
    case Padding::Kind::number:
      return {layer.padding.number, layer.padding.number, layer.padding.number, layer.padding.number};
    case Padding::Kind::same: {
      const Sides rows = same_padding(in.h, layer.kernel, layer.stride);
      const Sides columns = same_padding(in.w, layer.kernel, layer.stride);
      return {rows.before, rows.after, columns.before, columns.after};
    }
  }
  return {};
}

struct Checker {
  const LayerSpec& layer;
  const LayerPosition& position;

  [[noreturn]] void fail_with(const std::string& message) const { fail_layer(layer, position.name, message); }

  void fits(const char* what, int size, int rows, int columns, const char* where) const {
    if (size <= rows && size <= columns) return;
    fail_with(
        fmt::format("a {0} of {1}x{1} is larger than its {2}x{3} {4}", what, size, rows, columns, where));
  }

  void at_most(std::uint64_t count, std::uint64_t most, const char* what) const {
    if (count > most) fail_with(fmt::format("{} {}; at most {} are possible", count, what, most));
  }
};

OpDesc describe_conv(const Checker& check, int batch) {
  const LayerSpec& layer = check.layer;
  const Shape& in = check.position.in;
  const ConvDesc desc{in, layer.out, layer.kernel, layer.stride, border_of(layer, in), layer.bias, false, {}};
  check.fits("filter", layer.kernel, in.h + desc.pad.top + desc.pad.bottom,
             in.w + desc.pad.left + desc.pad.right,
             layer.padding.kind == Padding::Kind::valid ? "input" : "padded input");
  const std::uint64_t area =
      static_cast<std::uint64_t>(layer.kernel) * static_cast<std::uint64_t>(layer.kernel);
  const auto out = static_cast<std::uint64_t>(layer.out);
  const std::uint64_t inputs = area * static_cast<std::uint64_t>(in.c);
  check.at_most(std::max(inputs, area * out), kMostElements, "weights to one output");
  check.at_most(inputs * out, kMostElements, "weights");
  check.at_most(static_cast<std::uint64_t>(batch) * conv_map(desc).size(), kMostElements,
                "outputs of a batch");
  check.at_most(forward_flops(desc), kMostFlops, "FLOP an image");
  return desc;
}

OpDesc describe_dense(const Checker& check, const PlanInput& input) {
  const LayerSpec& layer = check.layer;
  const std::uint64_t in = check.position.in.size();
  const int out = layer.out > 0 ? layer.out : input.classes;
  check.at_most(in * static_cast<std::uint64_t>(out), kMostElements, "weights");
  check.at_most(static_cast<std::uint64_t>(input.batch) * static_cast<std::uint64_t>(out), kMostElements,
                "outputs of a batch");
  if (!check.position.last) return DenseDesc{static_cast<int>(in), out, layer.bias, false};
  if (out != input.classes) {
    check.fail_with(
        fmt::format("{} outputs, but the data set has {} classes; write `out: classes`", out, input.classes));
  }
  return HeadDesc{static_cast<int>(in), out, layer.bias};
}

Window window_of(const Checker& check) {
  const Shape& in = check.position.in;
  check.fits("window", check.layer.size, in.h, in.w, "input");
  return {check.layer.size, check.layer.stride};
}

}  // namespace

void fail_layer(const LayerSpec& layer, const std::string& name, const std::string& message) {
  fail(layer.place, fmt::format("{}: {}", name, message));
}

OpDesc describe_layer(const LayerSpec& layer, const LayerPosition& position, const PlanInput& input) {
  const Checker check{layer, position};
  if (position.last && layer.kind != LayerKind::dense) {
    check.fail_with("the last layer must be dense with `out: classes`");
  }
  switch (layer.kind) {
    case LayerKind::conv:
      return describe_conv(check, input.batch);
    case LayerKind::maxpool:
      return MaxPoolDesc{position.in, window_of(check)};
    case LayerKind::avgpool:
      return AvgPoolDesc{position.in, window_of(check)};
    case LayerKind::dense:
      return describe_dense(check, input);
    case LayerKind::relu:
      return ReluDesc{position.in};
    case LayerKind::gelu:
      return GeluDesc{position.in};
    case LayerKind::dropout:
      return DropoutDesc{position.in, static_cast<float>(layer.drop),
                         static_cast<std::uint32_t>(position.number)};
    case LayerKind::batchnorm:
      return BatchNormDesc{position.in, static_cast<float>(layer.epsilon), static_cast<float>(layer.momentum),
                           layer.gain};
  }
  return ReluDesc{position.in};
}

std::string layer_text(const LayerSpec& layer, int classes) {
  std::string text = layer_word(layer.kind);
  switch (layer.kind) {
    case LayerKind::conv: {
      const char* padding = layer.padding.kind == Padding::Kind::same ? "same" : "valid";
      text += fmt::format(" {0}x{0}x{1} ", layer.kernel, layer.out);
      text += layer.padding.kind == Padding::Kind::number ? fmt::format("padding {}", layer.padding.number)
                                                          : padding;
      if (layer.stride != 1) text += fmt::format(" stride {}", layer.stride);
      break;
    }
    case LayerKind::maxpool:
    case LayerKind::avgpool:
      text += fmt::format(" {}", layer.size);
      if (layer.stride != layer.size) text += fmt::format(" stride {}", layer.stride);
      break;
    case LayerKind::dense:
      text += fmt::format(" {}", layer.out > 0 ? layer.out : classes);
      break;
    case LayerKind::dropout:
      text += fmt::format(" {}", static_cast<float>(layer.drop));
      break;
    case LayerKind::batchnorm:
      if (!layer.gain) text += " no gain";
      break;
    case LayerKind::relu:
    case LayerKind::gelu:
      break;
  }
  if (!layer.bias) text += " no bias";
  return text;
}

}  // namespace trainer
