// A convolution with its pool and ReLU: the order of its kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

ConvShape conv_shape(const ConvDesc& desc) {
  const Border& pad = desc.pad;
  return {{desc.in.h + pad.top + pad.bottom, desc.in.w + pad.left + pad.right, desc.in.c},
          out_shape(desc),
          desc.kernel,
          desc.stride,
          desc.pool ? desc.pool : Window{1, 1}};
}

class Conv final : public PortableOp {
 public:
  Conv(Executor& executor, const ConvDesc& desc, int batch)
      : PortableOp(executor, desc, batch),
        conv_(desc),
        shape_(conv_shape(desc)),
        tile_(executor.tile(desc.out)) {
    if (shape_.window.size > 2) tile_.vectors = 1;  // the sums of a window fill the registers
    padded_ = padded(desc.out, tile_.lanes);
    if (has_border()) x_ = reserve(rows() * shape_.in.size());
    if (has_border()) dx_ = reserve(rows() * shape_.in.size());
    w_ = reserve(static_cast<std::size_t>(shape_.taps()) * static_cast<std::size_t>(padded_));
    b_ = reserve(static_cast<std::size_t>(padded_));
    sums_ = reserve(rows() * static_cast<std::size_t>(desc.out));
    partial_ = reserve(static_cast<std::size_t>(kShards) * static_cast<std::size_t>(weights()));
  }

  std::size_t saved_bytes() const override { return rows() * shape_.out.size(); }  // argmax

 private:
  bool has_border() const { return conv_.pad != Border{}; }
  int weights() const { return conv_.out * shape_.taps(); }
  const float* input(const OpArgs& args) const {
    if (!has_border()) return floats(args.x);
    executor_.run(
        Move{batch(), floats(args.x), conv_.in, scratch(args, x_), shape_.in, conv_.pad.top, conv_.pad.left});
    return scratch(args, x_);
  }

  void run_forward(const OpArgs& args) override {
    executor_.run(Transpose{args.w, conv_.out, shape_.taps(), scratch(args, w_), padded_});
    if (args.b != nullptr) executor_.run(Transpose{args.b, conv_.out, 1, scratch(args, b_), padded_});
    executor_.run(ConvForward{.shape = shape_,
                              .batch = batch(),
                              .x = input(args),
                              .w = scratch(args, w_),
                              .padded = padded_,
                              .b = args.b == nullptr ? nullptr : scratch(args, b_),
                              .relu = conv_.relu,
                              .y = floats(args.y),
                              .argmax = args.mode == Mode::training ? argmax_of(args) : nullptr,
                              .tile = tile_});
  }

  void run_backward(const OpArgs& args) override {
    const Rows rows = rows_of(args);
    const float* g = floats(args.dy);
    const std::uint8_t* argmax = argmax_of(args);
    if (args.db != nullptr) {
      executor_.run(SumPositions{.batch = batch(),
                                 .map = shape_.out,
                                 .x = g,
                                 .sums = scratch(args, sums_),
                                 .argmax = argmax,
                                 .lanes = tile_.lanes});
      executor_.run(SumImages{rows, conv_.out, scratch(args, sums_), args.db, tile_.lanes});
    }
    const Tile taps = executor_.tile(shape_.row_taps());
    const bool in_rows = taps.lanes > 1 && (conv_.kernel == 3 || conv_.kernel == 5);
    executor_.run(ConvWeights{shape_, rows, input(args), g, argmax, scratch(args, partial_), taps,
                              in_rows ? conv_.kernel : 1});
    executor_.run(AddShards{scratch(args, partial_), weights(), args.dw});
    if (args.dx == nullptr) return;
    float* dx = has_border() ? scratch(args, dx_) : floats(args.dx);
    executor_.run(ConvInput{shape_, rows, args.w, g, argmax, dx, executor_.lanes(shape_.in.c)});
    if (has_border())
      executor_.run(Move{batch(), dx, shape_.in, floats(args.dx), conv_.in, -conv_.pad.top, -conv_.pad.left});
  }

  ConvDesc conv_;
  ConvShape shape_;
  Tile tile_;
  int padded_;
  // Parts of the workspace.
  std::size_t x_ = 0, dx_ = 0;  // [batch, in] with its border, if there is one
  std::size_t w_, b_;           // filters side by side
  std::size_t sums_;            // [batch, out.c]
  std::size_t partial_;         // [kShards, out.c, taps]
};

}  // namespace

std::unique_ptr<Op> make(Executor& executor, const ConvDesc& desc, int batch) {
  require_byte(desc, desc.pool);
  return std::make_unique<Conv>(executor, desc, batch);
}

}  // namespace trainer::portable
