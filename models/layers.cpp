// The kinds of layer, each a row of one table: its word in YAML, alone (`relu`) or with settings (`dense: {out: 10}`), the
// op that it becomes, and its text in a plan's table. "same" padding is TensorFlow's: ceil(length / stride)
// positions; if the number of zeros is odd, the extra one is at the bottom or right.
#include "models/layers.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "models/recipe.hpp"

namespace trainer {

namespace {

constexpr std::uint64_t kMostFlops = 1'000'000'000'000'000;  // per image and layer
constexpr int kMostOutputs = 1 << 16;
constexpr int kMostExtent = 1 << 12;  // filters, windows, strides

// The numbers of zeros before and after.
std::pair<int, int> same_padding(int length, int kernel, int stride) {
  const int positions = (length + stride - 1) / stride;
  const int total = std::max((positions - 1) * stride + kernel - length, 0);
  return {total / 2, total - total / 2};
}

Border border_of(const LayerSpec& layer, const Shape& in) {
  const int sides = layer.padding.number;  // 0 if the padding is a word
  if (layer.padding.kind != Padding::Kind::same) return {sides, sides, sides, sides};
  const auto [top, bottom] = same_padding(in.h, layer.kernel, layer.stride);
  const auto [left, right] = same_padding(in.w, layer.kernel, layer.stride);
  return {top, bottom, left, right};
}

struct Checker {
  const LayerSpec& layer;
  const LayerPosition& position;
  const PlanInput& input;

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

OpDesc describe_conv(const Checker& check) {
  const LayerSpec& layer = check.layer;
  const Shape& in = check.position.in;
  const ConvDesc desc{in, layer.out, layer.kernel, layer.stride, border_of(layer, in), layer.bias, false, {}};
  check.fits("filter", layer.kernel, in.h + desc.pad.top + desc.pad.bottom,
             in.w + desc.pad.left + desc.pad.right,
             layer.padding.kind == Padding::Kind::valid ? "input" : "padded input");
  const auto kernel_size = static_cast<std::uint64_t>(layer.kernel);
  const auto out = static_cast<std::uint64_t>(layer.out);
  const std::uint64_t inputs = kernel_size * kernel_size * static_cast<std::uint64_t>(in.c);
  check.at_most(std::max(inputs, kernel_size * kernel_size * out), kMostElements, "weights to one output");
  check.at_most(inputs * out, kMostElements, "weights");
  check.at_most(check.input.batch * conv_map(desc).size(), kMostElements, "outputs of a batch");
  check.at_most(forward_flops(desc), kMostFlops, "FLOP an image");
  return desc;
}

OpDesc describe_dense(const Checker& check) {
  const LayerSpec& layer = check.layer;
  const PlanInput& input = check.input;
  const std::uint64_t in = check.position.in.size();
  const int out = layer.out > 0 ? layer.out : input.classes;
  check.at_most(in * static_cast<std::uint64_t>(out), kMostElements, "weights");
  check.at_most(static_cast<std::uint64_t>(input.batch) * out, kMostElements, "outputs of a batch");
  if (!check.position.last) return DenseDesc{static_cast<int>(in), out, layer.bias, false};
  if (out != input.classes) {
    check.fail_with(
        fmt::format("{} outputs, but the data set has {} classes; write `out: classes`", out, input.classes));
  }
  return HeadDesc{static_cast<int>(in), out, layer.bias};
}

template <typename Desc>
OpDesc pool(const Checker& check) {
  const Shape& in = check.position.in;
  const bool global = check.layer.size == 0;
  const int size = global ? std::max(in.h, in.w) : check.layer.size;
  check.fits("window", size, in.h, in.w, "input");
  return Desc{in, {size, global ? size : check.layer.stride}};
}

template <typename Desc>
OpDesc element_by_element(const Checker& check) {
  return Desc{check.position.in};
}

OpDesc describe_residual(const Checker& check) {
  const auto text = [](const Shape& s) { return fmt::format("{}x{}x{}", s.h, s.w, s.c); };
  const Shape &in = check.position.in, &skip = check.position.skip;
  if (in == skip) return ResidualDesc{in, true};
  check.fail_with(fmt::format(
      "its layers make {} of {}, to which that cannot be added; {} `out: {}`", text(in), text(skip),
      skip.h * skip.w == 1
          ? "give its last convolution or dense layer"
          : "use `padding: same`, no stride, pool or dense layer, and for the last convolution",
      skip.c));
}

std::string conv_text(const LayerSpec& layer, int /*classes*/) {
  const char* word = layer.padding.kind == Padding::Kind::same ? "same" : "valid";
  const bool number = layer.padding.kind == Padding::Kind::number;
  const std::string padding = number ? fmt::format("padding {}", layer.padding.number) : word;
  return fmt::format(" {0}x{0}x{1} {2}", layer.kernel, layer.out, padding) +
         (layer.stride != 1 ? fmt::format(" stride {}", layer.stride) : "");
}

std::string pool_text(const LayerSpec& layer, int /*classes*/) {
  if (layer.size == 0) return " global";
  return fmt::format(" {}", layer.size) +
         (layer.stride != layer.size ? fmt::format(" stride {}", layer.stride) : "");
}

bool starts_with_letter(const std::string& word) {
  return !word.empty() && std::isalpha(static_cast<unsigned char>(word.front())) != 0;
}

void read_padding(const MapReader& map, LayerSpec& layer) {
  const YamlNode& node = map.require("padding");
  const std::string word = node.kind == YamlKind::word ? node.word : "";
  if (word == "same" || word == "valid") {
    layer.padding.kind = word == "same" ? Padding::Kind::same : Padding::Kind::valid;
  } else if (starts_with_letter(word)) {
    fail(node.place, "conv: " + unknown_word("padding", word, {"same", "valid", "a number"}));
  } else {
    layer.padding = {Padding::Kind::number,
                     static_cast<int>(read_whole(node, "conv: padding in numbers", {0, layer.kernel - 1}))};
  }
}

void read_size(const MapReader& map, LayerSpec& layer) {
  map.read("size", layer.size, {1, kMostExtent});
  layer.stride = layer.size;
}

void read_outputs(const MapReader& map, LayerSpec& layer) {
  const YamlNode& node = map.require("out");
  if (node.kind == YamlKind::word && node.word == "classes") return;
  if (node.kind == YamlKind::word && starts_with_letter(node.word)) {
    fail(node.place, fmt::format("dense: out must be `classes` or a whole number from 1 to {}, not {}",
                                 kMostOutputs, in_quotes(node.word)));
  }
  map.read("out", layer.out, {1, kMostOutputs});
}

void read_drop(const MapReader& map, LayerSpec& layer) {
  map.read("drop", layer.drop, {.low = 0, .high = 1, .open_high = true});
  // As a float it may round to 1, for which 1 / (1 - drop) is not defined.
  if (static_cast<float>(layer.drop) >= 1) fail(map.place(), "dropout: drop rounds to 1");
}

Setting<LayerSpec> initializer(const char* key, std::optional<Initialization> LayerSpec::*member) {
  return {key, [=](const MapReader& map, LayerSpec& layer) {
            layer.*member = read_initialization(map.require(key), map.name_of(key));
          }};
}

struct Kind {
  const char* word;
  Settings<LayerSpec> settings;
  OpDesc (*op)(const Checker& check);
  std::string (*text)(const LayerSpec& layer, int classes) = nullptr;  // the text after the word
};

// The rows are in the order of LayerKind.
const std::vector<Kind>& kinds() {
  static const WholeRange extent{1, kMostExtent};
  static const auto weights = initializer("weights", &LayerSpec::weights);
  static const auto biases = initializer("biases", &LayerSpec::biases);
  static const auto bias = setting("bias", &LayerSpec::bias);
  static const auto size = required(Setting<LayerSpec>{"size", read_size});
  static const auto stride = setting("stride", &LayerSpec::stride, extent);
  static const std::vector<Kind> all{
      {"conv",
       {required(setting("out", &LayerSpec::out, WholeRange{1, kMostOutputs})),
        required(setting("kernel", &LayerSpec::kernel, extent)),
        stride,
        {"padding", read_padding},
        bias,
        weights,
        biases},
       describe_conv,
       conv_text},
      {"maxpool", {size, stride}, pool<MaxPoolDesc>, pool_text},
      {"avgpool", {size, stride}, pool<AvgPoolDesc>, pool_text},
      {"dense",
       {required(Setting<LayerSpec>{"out", read_outputs}), bias, weights, biases},
       describe_dense,
       [](const LayerSpec& l, int classes) { return fmt::format(" {}", l.out > 0 ? l.out : classes); }},
      {"relu", {}, element_by_element<ReluDesc>},
      {"gelu", {}, element_by_element<GeluDesc>},
      {"leaky_relu",
       {setting("slope", &LayerSpec::slope, NumberRange{0, 1})},
       [](const Checker& c) -> OpDesc {
         return LeakyReluDesc{c.position.in, static_cast<float>(c.layer.slope)};
       },
       [](const LayerSpec& l, int /*classes*/) { return fmt::format(" {}", static_cast<float>(l.slope)); }},
      {"dropout",
       {required(Setting<LayerSpec>{"drop", read_drop})},
       [](const Checker& c) -> OpDesc {
         return DropoutDesc{c.position.in, static_cast<float>(c.layer.drop),
                            static_cast<std::uint32_t>(c.position.number)};
       },
       [](const LayerSpec& l, int /*classes*/) { return fmt::format(" {}", static_cast<float>(l.drop)); }},
      {"batchnorm",
       {setting("epsilon", &LayerSpec::epsilon, NumberRange{1e-30, 1}),
        setting("momentum", &LayerSpec::momentum, NumberRange{.low = 0, .high = 1, .open_low = true}),
        setting("gain", &LayerSpec::gain)},
       [](const Checker& c) -> OpDesc {
         return BatchNormDesc{c.position.in, static_cast<float>(c.layer.epsilon),
                              static_cast<float>(c.layer.momentum), c.layer.gain};
       },
       [](const LayerSpec& l, int /*classes*/) { return std::string(l.gain ? "" : " no gain"); }},
      {"residual",
       {},
       describe_residual,
       [](const LayerSpec& l, int /*classes*/) { return fmt::format(" over {} layers", l.inside); }},
  };
  return all;
}

const Kind& kind_of(const LayerSpec& layer) {
  return kinds().at(static_cast<std::size_t>(layer.kind));
}

}  // namespace

YamlTagged read_layer_word(const YamlNode& node) {
  const bool flatten = (node.kind == YamlKind::word && node.word == "flatten") ||
                       (node.keys.size() == 1 && node.keys.front().word == "flatten");
  if (flatten) fail(node.place, "flatten is implied: dense takes any shape; leave this line out");
  Words words;
  for (const Kind& kind : kinds()) words.emplace_back(kind.word);
  return read_tagged(node, "layer", words);
}

LayerSpec read_layer(const YamlTagged& tagged) {
  LayerSpec layer;
  layer.kind = static_cast<LayerKind>(tagged.index);
  layer.place = tagged.place;
  const bool is_global = tagged.arguments != nullptr && tagged.arguments->word == "global";
  if (layer.kind == LayerKind::avgpool && is_global) return layer;
  const Settings<LayerSpec>& settings = kind_of(layer).settings;
  const MapReader map(tagged, keys_of(settings));
  read_settings(map, settings, layer);
  if (layer.biases && !layer.bias) fail(map.require("biases").place, "biases of a layer with `bias: false`");
  return layer;
}

const char* layer_word(LayerKind kind) {
  return kinds().at(static_cast<std::size_t>(kind)).word;
}

void fail_layer(const LayerSpec& layer, const std::string& name, const std::string& message) {
  fail(layer.place, fmt::format("{}: {}", name, message));
}

OpDesc describe_layer(const LayerSpec& layer, const LayerPosition& position, const PlanInput& input) {
  const Checker check{layer, position, input};
  if (position.last && layer.kind != LayerKind::dense)
    check.fail_with("the last layer must be dense with `out: classes`");
  return kind_of(layer).op(check);
}

std::string layer_text(const LayerSpec& layer, int classes) {
  const Kind& kind = kind_of(layer);
  return kind.word + (kind.text != nullptr ? kind.text(layer, classes) : "") + (layer.bias ? "" : " no bias");
}

}  // namespace trainer
