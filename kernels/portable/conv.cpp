// A convolution with its pool and ReLU: the order of its kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

class Conv final : public PortableOp {
 public:
  Conv(Executor& executor, const ConvDesc& desc, int batch)
      : PortableOp(executor, desc, batch), conv_(desc), lanes_(executor.lanes(desc.out)) {
    shape_.in = {desc.in.h + desc.pad.top + desc.pad.bottom, desc.in.w + desc.pad.left + desc.pad.right,
                 desc.in.c};
    shape_.out = out_shape(desc);
    shape_.kernel = desc.kernel;
    shape_.stride = desc.stride;
    if (desc.pool) shape_.window = desc.pool;
  }

  std::size_t saved_bytes() const override { return rows() * shape_.out.size(); }  // argmax
  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    float *x, *dx;    // [batch, in] with its border, if there is one
    float *w, *b;     // filters side by side
    float *g, *sums;  // [batch, out], [batch, out.c]
    float* partial;   // [kShards, out.c, taps]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    const auto out = static_cast<std::size_t>(shape_.out.c);
    const auto taps = static_cast<std::size_t>(shape_.taps());
    Layout p{};
    if (has_border()) p.x = memory.take<float>(rows() * shape_.in.size() + kMostLanes);
    if (has_border()) p.dx = memory.take<float>(rows() * shape_.in.size() + kMostLanes);
    p.w = memory.take<float>(taps * static_cast<std::size_t>(padded(conv_.out, kMostLanes)));
    p.b = memory.take<float>(static_cast<std::size_t>(padded(conv_.out, kMostLanes)));
    p.g = memory.take<float>(rows() * shape_.out.size() + kMostLanes);
    p.sums = memory.take<float>(rows() * out + kMostLanes);
    p.partial = memory.take<float>(kShards * out * taps);
    p.rows = row_memory(memory);
    return p;
  }
  bool has_border() const { return conv_.pad != Border{}; }
  const float* input(const OpArgs& args, const Layout& p) const {
    if (!has_border()) return floats(args.x);
    executor_.run(AddBorder{floats(args.x), count32(rows()), conv_.in, conv_.pad, p.x});
    return p.x;
  }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const int width = padded(conv_.out, lanes_);
    executor_.run(Transpose{args.w, conv_.out, shape_.taps(), p.w, width});
    if (args.b != nullptr) executor_.run(Transpose{args.b, conv_.out, 1, p.b, width});
    const int columns = shape_.window.size == 1 ? (shape_.out.w + 3) / 4 : shape_.out.w;
    executor_.run(ConvForward{.shape = shape_,
                              .batch = count32(rows()),
                              .x = input(args, p),
                              .w = p.w,
                              .padded = width,
                              .b = args.b == nullptr ? nullptr : p.b,
                              .relu = conv_.relu,
                              .y = floats(args.y),
                              .argmax = args.mode == Mode::training ? argmax(args) : nullptr,
                              .by_tiles = Divider(count32(static_cast<std::size_t>(width / lanes_))),
                              .by_columns = Divider(count32(static_cast<std::size_t>(columns))),
                              .lanes = lanes_});
  }

  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const Rows rows = rows_of(args, p.rows);
    const float* g = floats(args.dy);
    if (conv_.relu) {
      executor_.run(MaskGradient{rows, count32(shape_.out.size()), g, argmax(args), p.g});
      g = p.g;
    }
    if (args.db != nullptr) {
      const NormShape map{.batch = count32(this->rows()),
                          .positions = shape_.out.h * shape_.out.w,
                          .channels = shape_.out.c,
                          .lanes = lanes_};
      executor_.run(NormImageSums{map, g, nullptr, p.sums});
      executor_.run(SumImages{rows, shape_.out.c, p.sums, args.db, lanes_});
    }
    const int taps = executor_.lanes(shape_.row_taps());
    executor_.run(ConvWeights{shape_, rows, input(args, p), g, argmax(args), p.partial, taps});
    executor_.run(
        AddShards{p.partial, count32(static_cast<std::size_t>(shape_.out.c) * shape_.taps()), args.dw});
    if (args.dx == nullptr) return;
    float* dx = has_border() ? p.dx : floats(args.dx);
    executor_.run(ConvInput{shape_, rows, args.w, g, argmax(args), dx, executor_.lanes(shape_.in.c)});
    if (has_border())
      executor_.run(CutBorder{p.dx, count32(this->rows()), conv_.in, conv_.pad, floats(args.dx)});
  }

  static std::uint8_t* argmax(const OpArgs& args) { return reinterpret_cast<std::uint8_t*>(args.saved); }

  ConvDesc conv_;
  ConvShape shape_;
  int lanes_;
};

}  // namespace

std::unique_ptr<Op> make_conv(Executor& executor, const ConvDesc& desc, int batch) {
  return std::make_unique<Conv>(executor, desc, batch);
}

}  // namespace trainer::portable
