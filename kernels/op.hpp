// The op contract: how a backend sees a layer of the plan. An op maps x to y for a whole batch.
//   describe  the *Desc structs below: pure shapes, no device
//   prepare   Backend::prepare makes an Op: descriptors, the choice of algorithm, the size of its workspace
//   run       forward and backward only launch: no allocation, no search, no waiting
// forward writes every element of y and of `saved`; backward assigns (never adds to) every element of dx,
// dw and db. All memory that ops share is the caller's, 64-byte aligned; an engine may keep scratch memory of its own. Rows of a batch beyond StepState::valid hold zeros
// on input and have zero gradient. Ops process them like any other row; only results that mix rows (loss,
// correct answers, batch statistics) leave them out.
// Names: x, y input and output; dx, dy, dw, db gradients of the loss; w, b weights and biases.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "kernels/map_contract.hpp"
#include "kernels/math/selection.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/shape.hpp"

namespace trainer {

// Convolution + bias, then ReLU and max pooling if requested (the two commute).
//   x [n, h, w, c], w [out, k, k, c], b [out], y [n, h', w', out]
struct ConvDesc {
  Shape in;
  int out = 0;
  int kernel = 1;
  int stride = 1;
  Border pad;
  bool bias = true;
  bool relu = false;
  Window pool;
  MapContract x_map = {}, y_map = {};
};

// y = relu(x w^T + b): x [n, in], w [out, in], b [out], y [n, out]
struct DenseDesc {
  int in = 0;
  int out = 0;
  bool bias = true;
  bool relu = false;
  MapContract x_map = {}, y_map = {};
};

// The last layer with its loss: logits y = logit_scale (x w^T + b), softmax cross-entropy against the labels,
// its gradient, and the number of correct answers. With label smoothing e the target in training is (1 - e) on the label
// and e / classes on every class (Szegedy et al. 2016); in inference it is the label. forward adds to
// StepState's loss_sum, correct answers and images. The gradient is that of the mean loss over the valid rows, or over
// the selected ones if it selects; the other rows have none. With the products z = x w^T + b and the target t:
//   loss = log(sum exp(y_j - max)) - sum t_j (y_j - max),  dz_j = logit_scale (softmax_j - t_j) / rows
//   x [n, in], w [classes, in], b [classes], y [n, classes]
struct HeadDesc {
  int in = 0;
  int classes = 0;
  bool bias = true;
  MapContract x_map = {};
  float logit_scale = 1;
  float label_smoothing = 0;
  Selection selection = {};  // for training; if it selects, forward writes OpArgs::selected
};

struct MaxPoolDesc {
  Shape in;
  Window window;
};

struct AvgPoolDesc {
  Shape in;
  Window window;
};

struct ReluDesc {
  static constexpr const char* kName = "relu";
  Shape in;
};

// y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))  (Hendrycks and Gimpel 2016)
struct GeluDesc {
  static constexpr const char* kName = "gelu";
  Shape in;
};

// y = x where x is above 0, else slope x  (Maas, Hannun and Ng 2013)
struct LeakyReluDesc {
  static constexpr const char* kName = "leaky_relu";
  Shape in;
  float slope = 0.01F;
};

// Inverted dropout: in training y = x / (1 - drop) or, with probability drop, 0; in inference y = x. The mask is a pure
// function of (seed, stream, step, element).
struct DropoutDesc {
  Shape in;
  float drop = 0.5F;
  std::uint32_t stream = 0;  // tells the network's dropout layers apart
};

// Batch normalisation per channel over rows, h and w, then GELU if requested:
//   y = gamma (x - mean) / sqrt(var + epsilon) + beta
// Without `gamma` the factor is 1 and there is no such parameter. Training uses the batch's mean and biased variance
// and updates the running statistics: running = (1 - momentum) running + momentum batch, with the unbiased variance
// (n / (n - 1)). Inference uses the running statistics. If rows are selected, the statistics are still those of all
// valid rows, and the gradient is nonzero for the selected rows only:
//   dx = gamma / sqrt(var + epsilon) (dy - S1 / n - xh S2 / n),  dgamma = S2,  dbeta = S1  (Ioffe and Szegedy 2015)
// dy is the gradient before GELU, S1 and S2 are the sums over selected rows of dy and of dy xh, xh is the normalised x,
// and n is the number of positions in all valid rows.
struct BatchNormDesc {
  Shape in;
  float epsilon = 1e-5F;
  float momentum = 0.1F;
  bool gamma = true;
  bool gelu = false;
  MapContract x_map = {};
};

// An end of a residual block y = x + f(x), whose f is the ops between its ends (He et al. 2016). Backward of the first
// end is dx = dy + skip, with the gradient of the block's y as skip; forward of the second is y = x + skip, with the block's x.
// The other way nothing is done: the network gives x and y of the first and dy and dx of the second one array.
struct ResidualDesc {
  static constexpr const char* kName = "residual";
  Shape in;
  bool second = false;
};

// A convolution or dense layer without bias and ReLU, fused with the batch normalisation after it, which has no
// gamma. Only for a backend that fuses() the two.
struct NormalisedDesc {
  std::variant<ConvDesc, DenseDesc> product;
  BatchNormDesc norm;
};

// The one list of ops. A row Name stands for NameDesc above. Each engine and the reference use the list to declare what
// they must define for every op, so the linker reports what a new op lacks.
// clang-format off
#define TRAINER_OPS(OP)                                                     \
  OP(Conv) OP(Dense) OP(Head) OP(MaxPool) OP(AvgPool) OP(Relu) OP(Gelu)     \
  OP(LeakyRelu) OP(Dropout) OP(BatchNorm) OP(Residual) OP(Normalised)
// clang-format on

template <typename, typename... Descs>
using OneOf = std::variant<Descs...>;
#define TRAINER_OP_TYPE(Name) , Name##Desc
using OpDesc = OneOf<void TRAINER_OPS(TRAINER_OP_TYPE)>;
#undef TRAINER_OP_TYPE

// The contract of an op's input or output map; null if the op always uses the plain form.
MapContract* x_map(OpDesc& desc);
MapContract* y_map(OpDesc& desc);

OpDesc product_of(const NormalisedDesc& desc);
Shape in_shape(const OpDesc& desc);
Shape out_shape(const OpDesc& desc);
std::string describe(const OpDesc& desc);  // "conv 5x5x24 on 28x28x1, maxpool 2, relu": for errors
Shape conv_map(const ConvDesc& desc);      // [h, w, out] before pooling
// FLOP for one image; a multiply-add counts as two. Counts convolutions and products only.
std::uint64_t forward_flops(const OpDesc& desc);

// The role of a parameter decides its initial values and whether weight decay applies to it.
enum class ParameterRole { weight, bias, gamma, beta, running_mean, running_variance };
const char* role_name(ParameterRole role);  // "weight", "bias", ...
bool is_trained(ParameterRole role);        // false for running statistics, which have no gradient

// A parameter in its canonical form: the layout in which it is initialised, saved and compared.
struct ParameterDesc {
  ParameterRole role;
  std::vector<int> shape;  // conv weight [out, k, k, c], dense weight [out, in], the rest [c]
  int fan_in = 0;
  int fan_out = 0;
  std::size_t count() const;
};

// An op's parameters in the order of OpArgs: weight or gamma, bias or beta, then running mean and running
// variance; those that the op does not have are left out.
std::vector<ParameterDesc> parameters(const OpDesc& desc);

enum class Mode { training, inference };

struct GatherArgs;  // backend.hpp

// Everything an op touches in one call, in the backend's memory.
struct OpArgs {
  Mode mode = Mode::training;
  const void* x = nullptr;       // [n, in]; maps have type Backend::element(), except the head's y (fp32)
  void* y = nullptr;             // [n, out]; and except maps that are MapContract::bf16
  const void* dy = nullptr;      // [n, out]; unused by the head, which computes its own
  void* dx = nullptr;            // [n, in]; null if nobody needs it
  const void* skip = nullptr;    // [n, in], see ResidualDesc
  const float* w = nullptr;      // weight or gamma, in the op's own layout
  const void* cast_w = nullptr;  // w cast to Backend::element(); null if that is fp32
  const float* b = nullptr;      // bias or beta
  float* dw = nullptr;           // if the op casts_dw(), it points to elements of type Backend::element()
  float* db = nullptr;
  float* running_mean = nullptr;         // [c], batch normalisation only
  float* running_variance = nullptr;     // [c]
  std::byte* saved = nullptr;            // from forward to backward: argmax, masks, statistics
  std::byte* workspace = nullptr;        // scratch within one call, shared by all ops
  const std::uint8_t* labels = nullptr;  // [n], the head's
  StepState* state = nullptr;            // step number, valid rows, seed; the head's sums
  // [n], 1 for each row that is backpropagated; null: all valid rows are. If a recipe selects, the head's forward writes
  // it and every op's backward reads it (map_contract.hpp).
  std::uint8_t* selected = nullptr;
  std::uint64_t steps = 0;             // length of the whole run, for the selection
  const GatherArgs* gather = nullptr;  // makes the forward of an op that gathers() open the step

  // Sets the pointers of a parameter by its role; `gradient` is null if it is not wanted.
  void bind(ParameterRole role, float* value, float* gradient);
};

// An op that a backend has prepared for one batch size.
class Op {
 public:
  virtual ~Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  const OpDesc& desc() const { return desc_; }
  int batch() const { return batch_; }

  // Whether forward also does the work of Backend::gather if OpArgs::gather is set: it reads images and labels
  // and writes x, labels and the state as gather would, which saves a launch.
  virtual bool gathers() const { return false; }

  // Whether backward reads dy of the selected rows only, so that dy may be MapContract::selected_only.
  virtual bool reads_selected_rows() const { return false; }

  // Whether backward writes dw in the backend's element type, which the optimiser converts to fp32.
  virtual bool casts_dw() const { return false; }

  virtual std::size_t workspace_bytes() const { return 0; }  // the largest need of either direction
  virtual std::size_t saved_bytes() const { return 0; }

  // The number of floats of parameter `index` (order of parameters(desc)) in the backend's own layout, and the
  // conversions between that layout and the canonical one. The padding of a padded layout is zero and stays
  // zero under every optimiser. Host pointers; called before and after training, never inside a step.
  virtual std::size_t stored_count(int index) const;
  virtual void store(int index, const float* canonical, float* stored) const;
  virtual void fetch(int index, const float* stored, float* canonical) const;

  // Both check for pointers that are null but must not be, then launch.
  void forward(const OpArgs& args);
  void backward(const OpArgs& args);

 protected:
  Op(const OpDesc& desc, int batch) : desc_(desc), batch_(batch) {}

 private:
  virtual void run_forward(const OpArgs& args) = 0;
  virtual void run_backward(const OpArgs& args) = 0;

  OpDesc desc_;
  int batch_;
};

}  // namespace trainer
