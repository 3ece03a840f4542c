// A network and its recipe as data: what models/*.yaml says, checked. Reports print the text of a spec; checkpoints store
// it and parse it back to the same plan.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/math/batching.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/schedule.hpp"
#include "kernels/math/selection.hpp"
#include "kernels/precision.hpp"

namespace trainer {

// A wrong spec; the message opens with file:line:column.
class SpecError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where a word stands, for errors: "models/lenet.yaml:7:5".
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text() const;
};

enum class LayerKind { conv, maxpool, avgpool, dense, relu, gelu, leaky_relu, dropout, batchnorm };

// How a parameter starts.
enum class Initializer : std::uint8_t {
  zeros,
  constant,          // value
  uniform_fan_in,    // uniform(-1/sqrt(fan_in), +1/sqrt(fan_in)); a bias takes its weight's fan_in (PyTorch's
                     // default)
  xavier_uniform,    // uniform(-sqrt(3/fan_in), +sqrt(3/fan_in)) (Caffe's xavier)
  glorot_uniform,    // uniform(-sqrt(6/(fan_in+fan_out)), +...)
  normal,            // N(0, deviation)
  truncated_normal,  // N(0, deviation), drawn again beyond two deviations
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
  int out = 0;                            // conv, dense; 0 in the last dense: the data set's class count
  int kernel = 0;                         // conv
  int stride = 1;                         // conv, pools
  int size = 0;                           // pools
  Padding padding;                        // conv
  bool bias = true;                       // conv, dense
  double slope = 0.01;                    // leaky_relu: factor on values below 0
  double drop = 0;                        // dropout: fraction set to zero
  double epsilon = 1e-5;                  // batchnorm
  double momentum = 0.1;                  // batchnorm: weight of the newest batch
  bool gain = true;                       // batchnorm: whether it learns a gamma
  std::optional<Initialization> weights;  // overrides the recipe's
  std::optional<Initialization> biases;
};

// x = (pixel * scale - mean) / deviation, scale usually 1/255; or from the training images themselves.
struct InputScaling {
  double scale = 1.0 / 255;
  double mean = 0;
  double deviation = 1;
  bool from_data =
      false;     // `normalize: data`: mean and deviation of the training images, in units of scale 1/255
  int crop = 0;  // rows and columns of the images' centre that the network sees; 0: the whole images
};

// The precisions beside fp32 in which a recipe keeps its accuracy (mean over 10 seeds within 0.05 points), fastest first.
struct RecipePrecisions {
  std::vector<Precision> cpu, cuda;
};

// Layers whose weights learn by an optimiser of their own.
struct OptimizerGroup {
  Place place;
  std::vector<std::string> layers;  // "conv1", "dense2": kind and number among its kind
  Optimizer optimizer;
  double rate_factor = 1;  // times the recipe's rate
};

struct Recipe {
  InputScaling input;
  Initialization weights{Initializer::uniform_fan_in, 0, 1};
  Initialization biases{Initializer::uniform_fan_in, 0, 1};
  Optimizer optimizer;  // for everything that is in no group
  std::vector<OptimizerGroup> groups;
  double label_smoothing = 0;
  double logit_scale = 1;
  Selection keep;                 // which images of a batch are backpropagated
  Schedule schedule;              // schedule.steps is set when the length is known
  double bias_rate_factor = 1;    // lenet's lr_mult: for biases of convolutions and dense layers
  double weight_decay = 0;        // for the weights of convolutions and dense layers,
  bool decay_biases = true;       //   and for their biases; batch normalisation never decays
  bool decay_dense_only = false;  // tf-convolutional
  int batch = 64;
  std::optional<int> epochs;  // exactly one of the two
  std::optional<std::int64_t> steps;
  Order order = Order::shuffled;
  LastBatch last_batch = LastBatch::mask;
  RecipePrecisions precisions;
  int hold_out_first = 0;  // training images at the beginning that are set aside for validation
  int report_test_first =
      0;  // the first test images whose accuracy is also printed, as the sample did; 0: none
};

struct Spec {
  std::string name;  // letters, digits, '.', '_', '-': it becomes part of a folder's name
  std::string about;
  std::string source;
  std::optional<std::int64_t> parameters;  // as published, for 28x28x1 and 10 classes
  std::vector<LayerSpec> layers;
  Recipe recipe;
  std::string text;  // the YAML that it came from, whole
};

// `file` is used in errors only. Throws SpecError.
Spec parse_spec(const std::string& text, const std::string& file);
Spec read_spec(const std::filesystem::path& file);

// Finds `name_or_path`: a path when it ends in .yaml or holds a '/', else NAME.yaml in `folder`; an unknown
// name is answered with the names there are and the nearest.
Spec find_spec(const std::string& name_or_path, const std::filesystem::path& folder);
std::vector<Spec> all_specs(const std::filesystem::path& folder);  // sorted by name

// The recipe's own optimiser, then those of its groups.
std::vector<Optimizer> optimizers_of(const Recipe& recipe);

// Words as written in YAML.
const char* layer_word(LayerKind kind);
const char* initializer_word(Initializer kind);
const char* optimizer_word(OptimizerKind kind);
const char* order_word(Order order);

// What `optimizer: WORD` alone means, or nothing for an unknown word. sgd has no momentum.
std::optional<Optimizer> optimizer_named(std::string_view word);

}  // namespace trainer
