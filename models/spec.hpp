// A network and its recipe as data: the checked contents of models/*.yaml. Reports print the text of a spec; checkpoints
// store it and parse it back to the same plan.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/math/augmentation.hpp"
#include "kernels/math/batching.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/schedule.hpp"
#include "kernels/math/selection.hpp"
#include "kernels/precision.hpp"

namespace trainer {

// An invalid spec; the message begins with file:line:column.
class SpecError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The position of a word, for errors: "models/lenet.yaml:7:5".
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text() const;
};

enum class LayerKind { conv, maxpool, avgpool, dense, relu, gelu, leaky_relu, dropout, batchnorm, residual };

// How the initial values of a parameter are drawn.
enum class Initializer : std::uint8_t {
  zeros,
  constant,          // value
  uniform_fan_in,    // uniform(-1/sqrt(fan_in), +...), a bias with its weight's fan_in (PyTorch's default)
  xavier_uniform,    // uniform(-sqrt(3/fan_in), +sqrt(3/fan_in)) (Caffe's xavier)
  glorot_uniform,    // uniform(-sqrt(6/(fan_in+fan_out)), +...)
  normal,            // N(0, deviation)
  truncated_normal,  // N(0, deviation), redrawn beyond two deviations
};

struct Initialization {
  Initializer kind = Initializer::zeros;
  double value = 0;      // constant
  double deviation = 1;  // normal, truncated_normal
};

struct Padding {
  enum class Kind : std::uint8_t { valid, same, number } kind = Kind::valid;
  int number = 0;
};

struct LayerSpec {
  LayerKind kind = LayerKind::relu;
  Place place;
  int out = 0;                            // conv, dense; 0 in the last dense: the number of classes
  int kernel = 0;                         // conv
  int stride = 1;                         // conv, pools
  int size = 0;                           // pools; 0: the whole map, `avgpool: global`
  Padding padding;                        // conv
  bool bias = true;                       // conv, dense
  double slope = 0.01;                    // leaky_relu: factor for values below 0
  double drop = 0;                        // dropout: fraction set to zero
  double epsilon = 1e-5;                  // batchnorm
  double momentum = 0.1;                  // batchnorm: weight of the latest batch
  bool gain = true;                       // batchnorm: whether it learns a gamma
  int inside = 0;                         // residual: layers of the block, which stand before it
  bool opens_block = false;               // whether it is the first of these
  std::optional<Initialization> weights;  // overrides the recipe's
  std::optional<Initialization> biases;
};

// x = (pixel * scale - mean) / deviation, scale usually 1/255; mean and deviation may come from the training images, or each image has its own.
struct InputScaling {
  double scale = 1.0 / 255;
  double mean = 0, deviation = 1;
  bool from_data = false;  // `normalize: data`: those of the training images, in units of scale 1/255
  bool by_image = false;   // `normalize: image`: kernels/math/standardisation.hpp
  int crop = 0;            // height and width of the central crop that the network sees; 0: the whole image
  Augmentation augmentation;  // how training images are changed
};

// The precisions other than fp32 in which a recipe keeps its accuracy (mean over 10 seeds within 0.05 points), fastest first.
struct RecipePrecisions {
  std::vector<Precision> cpu, cuda;

  bool is_empty() const { return cpu.empty() && cuda.empty(); }
};

// Layers whose weights have an optimiser of their own.
struct OptimizerGroup {
  Place place;
  std::vector<std::string> layers;  // names of layers: "conv1", "dense2"
  Optimizer optimizer;
  double rate_factor = 1;  // times the recipe's rate
};

struct Recipe {
  InputScaling input;
  Initialization weights{Initializer::uniform_fan_in, 0, 1};
  Initialization biases{Initializer::uniform_fan_in, 0, 1};
  Optimizer optimizer;  // for all parameters that are in no group
  std::vector<OptimizerGroup> groups;
  double label_smoothing = 0;
  double logit_scale = 1;
  Selection keep;                 // which images of a batch are backpropagated
  Schedule schedule;              // schedule.steps is set once the length is known
  double bias_rate_factor = 1;    // for biases of convolutions and dense layers (lenet's lr_mult)
  double weight_decay = 0;        // for the weights of convolutions and dense layers,
  bool decay_biases = true;       //   and for their biases; never for batch normalisation
  bool decay_dense_only = false;  // used by tf-convolutional
  double clip_norm = 0;           // limits the norm of all gradients, kernels/math/clipping.hpp; 0: none
  int batch = 64;
  std::optional<int> epochs;  // exactly one of epochs and steps is set
  std::optional<std::int64_t> steps;
  Order order = Order::shuffled;
  LastBatch last_batch = LastBatch::mask;
  std::optional<double>
      average;  // decay of a moving average of the weights, which tests use (kernels/math/average.hpp)
  RecipePrecisions precisions;
  int hold_out_first = 0;     // number of first training images set aside for validation
  int views = 1;              // 1 or 5: what a test sees of an uncertain image (trainer/train/evaluation.hpp)
  int report_test_first = 0;  // number of first test images whose accuracy is also printed, as the sample did
};

struct Spec {
  std::string name;  // letters, digits, '.', '_', '-': it becomes part of a folder's name
  std::string about;
  std::string source;
  std::optional<std::int64_t> parameters;  // as published, for 28x28x1 and 10 classes
  std::vector<LayerSpec> layers;
  Recipe recipe;
  std::string text;  // the whole YAML file
};

// `file` is used in errors only. Throws SpecError.
Spec parse_spec(const std::string& text, const std::string& file);
Spec read_spec(const std::filesystem::path& file);

// Finds `name_or_path`: a path if it ends in .yaml or contains a '/', else NAME.yaml in `folder`. The error for an
// unknown name lists the known names and the nearest of them.
Spec find_spec(const std::string& name_or_path, const std::filesystem::path& folder);
std::vector<Spec> all_specs(const std::filesystem::path& folder);  // sorted by name

// The recipe's own optimiser, then those of its groups.
std::vector<Optimizer> optimizers_of(const Recipe& recipe);

// Words as written in YAML.
const char* layer_word(LayerKind kind);
const char* initializer_word(Initializer kind);
const char* optimizer_word(OptimizerKind kind);
const char* order_word(Order order);

// The optimiser that `optimizer: WORD` without settings means, or nothing for an unknown word. sgd has no momentum.
std::optional<Optimizer> optimizer_named(std::string_view word);

}  // namespace trainer
