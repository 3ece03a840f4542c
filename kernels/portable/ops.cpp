#include "kernels/portable/ops.hpp"

#include <fmt/format.h>

#include "kernels/bump_allocator.hpp"
#include "kernels/portable/executor.hpp"

namespace trainer::portable {

namespace {

using Memory = DeviceAllocator;  // aligned for either device

std::uint32_t count32(std::size_t count) {
  return static_cast<std::uint32_t>(count);
}
const float* floats(const void* map) {
  return static_cast<const float*>(map);
}
float* floats(void* map) {
  return static_cast<float*>(map);
}
int padded(int count, int lanes) {
  return (count + lanes - 1) / lanes * lanes;
}

// An op whose workspace is laid out by lay_out(memory), the same way in both directions.
class PortableOp : public Op {
 public:
  PortableOp(Executor& executor, const OpDesc& desc, int batch) : Op(desc, batch), executor_(executor) {}
  bool reads_selected_rows() const override { return true; }

 protected:
  std::size_t rows() const { return static_cast<std::size_t>(batch()); }

  struct RowMemory {
    std::uint32_t *first, *listed;
  };
  RowMemory row_memory(Memory& memory) const {
    RowMemory at{};
    at.first = memory.take<std::uint32_t>(kShards + 1);
    at.listed = memory.take<std::uint32_t>(rows());
    return at;
  }
  Rows all_rows() const { return {.batch = count32(rows())}; }
  Rows rows_of(const OpArgs& args, const RowMemory& memory) const {
    if (args.selected == nullptr) return all_rows();
    executor_.run(ListRows{count32(rows()), args.selected, memory.first, memory.listed});
    return {count32(rows()), memory.first, memory.listed};
  }

  Executor& executor_;
};

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

// y = alpha (x w^T + b), then ReLU: what a dense layer and the head share.
class DenseProduct {
 public:
  DenseProduct(Executor& executor, int in, int out)
      : executor_(executor), in_(in), out_(out), lanes_(executor.lanes(out)) {}

  struct Layout {
    float* w;  // w^T, its columns padded to whole lanes
  };
  Layout lay_out(Memory& memory) const {
    return {memory.take<float>(static_cast<std::size_t>(in_) *
                               static_cast<std::size_t>(padded(out_, kMostLanes)))};
  }

  void forward(const OpArgs& args, const Layout& p, const Rows& all, float alpha, bool relu) const {
    const int width = padded(out_, lanes_);
    executor_.run(Transpose{args.w, out_, in_, p.w, width});
    executor_.run(Product{.rows = all,
                          .inner_count = in_,
                          .columns = out_,
                          .a = floats(args.x),
                          .b = p.w,
                          .ldb = width,
                          .y = floats(args.y),
                          .alpha = alpha,
                          .bias = args.b,
                          .relu = relu,
                          .lanes = lanes_});
  }

  // From the gradient g of x w^T; dx is zero where x is not above 0, if `masks_dx`.
  void backward(const OpArgs& args, const Rows& rows, const float* g, bool masks_dx) const {
    const int lanes = executor_.lanes(in_);
    executor_.run(DenseWeights{rows, in_, out_, floats(args.x), g, args.dw, lanes});
    if (args.db != nullptr) executor_.run(SumImages{rows, out_, g, args.db, lanes_});
    if (args.dx == nullptr) return;
    executor_.run(Product{.rows = rows,
                          .inner_count = out_,
                          .columns = in_,
                          .a = g,
                          .b = args.w,
                          .ldb = in_,
                          .y = floats(args.dx),
                          .masks = masks_dx ? floats(args.x) : nullptr,
                          .lanes = lanes});
  }

 private:
  Executor& executor_;
  int in_, out_, lanes_;
};

class Dense final : public PortableOp {
 public:
  Dense(Executor& executor, const DenseDesc& desc, int batch)
      : PortableOp(executor, desc, batch), dense_(desc), product_(executor, desc.in, desc.out) {}

  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    DenseProduct::Layout product;
    float* g;  // [batch, out]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.product = product_.lay_out(memory);
    p.g = memory.take<float>(rows() * static_cast<std::size_t>(dense_.out) + kMostLanes);
    p.rows = row_memory(memory);
    return p;
  }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    product_.forward(args, lay_out(memory).product, all_rows(), 1, dense_.relu);
  }
  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const Rows rows = rows_of(args, p.rows);
    const float* g = floats(args.dy);
    if (dense_.relu && !dense_.y_map.masked) {
      executor_.run(Activation{.count = count32(this->rows() * static_cast<std::size_t>(dense_.out)),
                               .x = floats(args.y),
                               .dy = g,
                               .to = p.g});
      g = p.g;
    }
    product_.backward(args, rows, g, dense_.x_map.masked);
  }

  DenseDesc dense_;
  DenseProduct product_;
};

class Head final : public PortableOp {
 public:
  Head(Executor& executor, const HeadDesc& desc, int batch)
      : PortableOp(executor, desc, batch), head_(desc), product_(executor, desc.in, desc.classes) {}

  std::size_t saved_bytes() const override {  // the gradient of the product
    return (rows() * static_cast<std::size_t>(head_.classes) + kMostLanes) * sizeof(float);
  }
  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    DenseProduct::Layout product;
    RowLoss* losses;  // [batch]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.product = product_.lay_out(memory);
    p.losses = memory.take<RowLoss>(rows());
    p.rows = row_memory(memory);
    return p;
  }
  static float* gradient(const OpArgs& args) { return reinterpret_cast<float*>(args.saved); }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    product_.forward(args, p.product, all_rows(), head_.logit_scale, false);
    const bool training = args.mode == Mode::training;
    executor_.run(HeadLoss{.batch = count32(rows()),
                           .classes = head_.classes,
                           .logit_scale = head_.logit_scale,
                           .label_smoothing = head_.label_smoothing,
                           .selection = head_.selection,
                           .steps = args.steps,
                           .state = args.state,
                           .labels = args.labels,
                           .logits = floats(args.y),
                           .g = training ? gradient(args) : nullptr,
                           .rows = p.losses});
    executor_.run(HeadSums{count32(rows()), p.losses, args.state});
    if (!training || !head_.selection.selects()) return;
    executor_.run(HeadSelect{count32(rows()), head_.classes, head_.selection, args.steps, args.state,
                             p.losses, args.selected, gradient(args)});
  }
  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    product_.backward(args, rows_of(args, lay_out(memory).rows), gradient(args), head_.x_map.masked);
  }

  HeadDesc head_;
  DenseProduct product_;
};

class BatchNorm final : public PortableOp {
 public:
  BatchNorm(Executor& executor, const BatchNormDesc& desc, int batch)
      : PortableOp(executor, desc, batch),
        norm_(desc),
        shape_{.batch = count32(rows()),
               .positions = desc.in.h * desc.in.w,
               .channels = desc.in.c,
               .epsilon = desc.epsilon,
               .momentum = desc.momentum,
               .gelu = desc.gelu,
               .lanes = executor.lanes(desc.in.c)} {}

  std::size_t saved_bytes() const override { return 2 * table() * sizeof(float); }  // mean, then inverse
  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    float *g, *sums, *products;  // [batch, in], [batch, channels] each
    float *s1, *s2, *inverse;    // [channels]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.g = memory.take<float>(rows() * norm_.in.size() + kMostLanes);
    for (float** sums : {&p.sums, &p.products})
      *sums = memory.take<float>(rows() * static_cast<std::size_t>(norm_.in.c) + kMostLanes);
    for (float** sums : {&p.s1, &p.s2, &p.inverse}) *sums = memory.take<float>(table());
    p.rows = row_memory(memory);
    return p;
  }
  std::size_t table() const { return static_cast<std::size_t>(padded(norm_.in.c, kMostLanes)); }

  NormTables tables(const OpArgs& args, const float* mean, const float* inverse) const {
    return {mean, inverse, norm_.gamma ? args.w : nullptr, args.b};
  }
  NormTables saved_tables(const OpArgs& args) const {
    const auto* mean = reinterpret_cast<const float*>(args.saved);
    return tables(args, mean, mean + table());
  }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    if (args.mode == Mode::inference) {
      executor_.run(
          NormVariance{.shape = shape_, .running_variance = args.running_variance, .inverse = p.inverse});
      executor_.run(
          Normalise{shape_, tables(args, args.running_mean, p.inverse), floats(args.x), floats(args.y)});
      return;
    }
    auto* mean = reinterpret_cast<float*>(args.saved);
    executor_.run(NormImageSums{shape_, floats(args.x), nullptr, p.sums});
    executor_.run(NormMean{shape_, args.state, p.sums, mean});
    executor_.run(NormImageSums{shape_, floats(args.x), mean, p.sums});
    executor_.run(NormVariance{shape_, args.state, p.sums, mean, args.running_mean, args.running_variance,
                               mean + table()});
    executor_.run(Normalise{shape_, saved_tables(args), floats(args.x), floats(args.y)});
  }

  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const Rows rows = rows_of(args, p.rows);
    const NormTables tables = saved_tables(args);
    executor_.run(NormSlopes{shape_, rows, tables, floats(args.x), floats(args.dy), p.g, p.sums, p.products});
    executor_.run(SumImages{rows, norm_.in.c, p.sums, p.s1, shape_.lanes});
    executor_.run(SumImages{rows, norm_.in.c, p.products, p.s2, shape_.lanes});
    const auto copy = [&](const float* from, float* to) {
      if (to != nullptr) executor_.run(Copy{count32(static_cast<std::size_t>(norm_.in.c)), from, to});
    };
    copy(p.s1, args.db);
    if (norm_.gamma) copy(p.s2, args.dw);
    if (args.dx == nullptr) return;
    executor_.run(
        NormInput{shape_, rows, tables, args.state, floats(args.x), p.g, p.s1, p.s2, floats(args.dx)});
  }

  BatchNormDesc norm_;
  NormShape shape_;
};

// An op of single elements: run(from, dy or null, to).
class Elementwise final : public Op {
 public:
  using Run = std::function<void(const OpArgs&, const float* dy, float* to)>;
  Elementwise(const OpDesc& desc, int batch, Run run) : Op(desc, batch), run_(std::move(run)) {}

 private:
  void run_forward(const OpArgs& args) override { run_(args, nullptr, floats(args.y)); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) run_(args, floats(args.dy), floats(args.dx));
  }
  Run run_;
};

class Pooling final : public Op {
 public:
  Pooling(Executor& executor, const OpDesc& desc, const Window& window, int batch, bool maximum)
      : Op(desc, batch),
        executor_(executor),
        window_(window),
        in_(in_shape(desc)),
        out_(out_shape(desc)),
        maximum_(maximum) {}
  std::size_t saved_bytes() const override {
    return maximum_ ? static_cast<std::size_t>(batch()) * out_.size() : 0;
  }

 private:
  std::uint8_t* argmax(const OpArgs& args) const {
    return maximum_ && args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) : nullptr;
  }
  void run_forward(const OpArgs& args) override {
    executor_.run(Pool{in_, out_, window_, static_cast<std::uint32_t>(batch()), floats(args.x),
                       floats(args.y), maximum_, argmax(args)});
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    executor_.run(PoolInput{in_, out_, window_, static_cast<std::uint32_t>(batch()), floats(args.dy),
                            argmax(args), floats(args.dx)});
  }

  Executor& executor_;
  Window window_;
  Shape in_, out_;
  bool maximum_;
};

void require_byte(const OpDesc& desc, const Window& window) {
  if (window.size * window.size > 255)
    throw BackendError(
        fmt::format("{}: the portable engine pools windows of at most 255 positions", describe(desc)));
}

struct Maker {
  Executor& executor;
  int batch;

  std::unique_ptr<Op> operator()(const ConvDesc& d) const {
    require_byte(d, d.pool);
    return std::make_unique<Conv>(executor, d, batch);
  }
  std::unique_ptr<Op> operator()(const DenseDesc& d) const {
    return std::make_unique<Dense>(executor, d, batch);
  }
  std::unique_ptr<Op> operator()(const HeadDesc& d) const {
    return std::make_unique<Head>(executor, d, batch);
  }
  std::unique_ptr<Op> operator()(const MaxPoolDesc& d) const {
    require_byte(d, d.window);
    return std::make_unique<Pooling>(executor, d, d.window, batch, true);
  }
  std::unique_ptr<Op> operator()(const AvgPoolDesc& d) const {
    return std::make_unique<Pooling>(executor, d, d.window, batch, false);
  }
  std::unique_ptr<Op> operator()(const ReluDesc& d) const {
    return activation(d, Activation::Kind::leaky_relu, 0);
  }
  std::unique_ptr<Op> operator()(const LeakyReluDesc& d) const {
    return activation(d, Activation::Kind::leaky_relu, d.slope);
  }
  std::unique_ptr<Op> operator()(const GeluDesc& d) const { return activation(d, Activation::Kind::gelu, 0); }
  std::unique_ptr<Op> operator()(const DropoutDesc& d) const {
    const std::uint32_t count = elements(d.in);
    return std::make_unique<Elementwise>(
        d, batch, [this_executor = &executor, d, count](const OpArgs& args, const float* dy, float* to) {
          const float* from = dy == nullptr ? floats(args.x) : dy;
          if (args.mode == Mode::inference) return this_executor->run(Copy{count, from, to});
          this_executor->run(Dropout{d.drop, d.stream, count, args.state, from, to});
        });
  }
  std::unique_ptr<Op> operator()(const BatchNormDesc& d) const {
    return std::make_unique<BatchNorm>(executor, d, batch);
  }
  std::unique_ptr<Op> operator()(const NormalisedDesc& d) const {
    throw BackendError(describe(d) +
                       ": the portable engine runs product and normalisation one after the other");
  }

 private:
  std::uint32_t elements(const Shape& shape) const {
    return count32(static_cast<std::size_t>(batch) * shape.size());
  }
  std::unique_ptr<Op> activation(const auto& d, Activation::Kind kind, float slope) const {
    const Activation kernel{.kind = kind, .slope = slope, .count = elements(d.in)};
    return std::make_unique<Elementwise>(
        d, batch, [this_executor = &executor, kernel](const OpArgs& args, const float* dy, float* to) {
          Activation now = kernel;
          now.x = floats(args.x);
          now.dy = dy;
          now.to = to;
          this_executor->run(now);
        });
  }
};

// The memory of Muon's update of one matrix, taken as wide: rows <= columns.
struct MuonLayout {
  int rows, columns;
  float *u, *x, *next;  // [rows, columns]
  float* transposed;    // [columns, rows]
  float *a, *b;         // [rows, rows]
  double* squares;      // [rows of the matrix as it is]
};

MuonLayout lay_out(Memory& memory, const WeightMatrix& m) {
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  MuonLayout p{};
  p.rows = m.rows < m.columns ? m.rows : m.columns;
  p.columns = m.rows < m.columns ? m.columns : m.rows;
  const auto r = static_cast<std::size_t>(p.rows);
  for (float** matrix : {&p.u, &p.x, &p.next, &p.transposed})
    *matrix = memory.take<float>(elements + kMostLanes);
  for (float** square : {&p.a, &p.b}) *square = memory.take<float>(r * r + kMostLanes);
  p.squares = memory.take<double>(static_cast<std::size_t>(m.rows));
  return p;
}

// One Newton-Schulz iteration: next = a x + (b A + c A A) x, A = x x^T.
void iterate(Executor& executor, const MuonLayout& p) {
  const Rows rows{.batch = count32(static_cast<std::size_t>(p.rows))};
  const int square = executor.lanes(p.rows);
  executor.run(Transpose{p.x, p.rows, p.columns, p.transposed, p.rows});
  executor.run(Product{.rows = rows,
                       .inner_count = p.columns,
                       .columns = p.rows,
                       .a = p.x,
                       .b = p.transposed,
                       .ldb = p.rows,
                       .y = p.a,
                       .lanes = square});
  executor.run(Product{.rows = rows,
                       .inner_count = p.rows,
                       .columns = p.rows,
                       .a = p.a,
                       .b = p.a,
                       .ldb = p.rows,
                       .y = p.b,
                       .alpha = kMuonC,
                       .beta = kMuonB,
                       .add = p.a,
                       .lanes = square});
  executor.run(Product{.rows = rows,
                       .inner_count = p.rows,
                       .columns = p.columns,
                       .a = p.b,
                       .b = p.x,
                       .ldb = p.columns,
                       .y = p.next,
                       .beta = kMuonA,
                       .add = p.x,
                       .lanes = executor.lanes(p.columns)});
}

void update_matrix(Executor& executor, const UpdateArgs& args, const WeightMatrix& m, const UpdateStep* now) {
  const Segment& s = m.segment;
  Memory memory(args.workspace);
  const auto count = count32(s.count);
  MuonLayout p = lay_out(memory, m);
  executor.run(MuonDirection{count, args.state, now, args.dw + s.offset, args.slot0 + s.offset, p.u});
  executor.run(MuonSquares{m.rows, m.columns, p.u, p.squares});
  const bool tall = m.rows > m.columns;
  executor.run(MuonNormalise{m.rows, m.columns, p.squares, p.u, tall ? p.next : p.x});
  if (tall) executor.run(Transpose{p.next, m.rows, m.columns, p.x, m.rows});
  for (int i = 0; i < (*args.optimizers)[s.optimizer].iterations; ++i) {
    iterate(executor, p);
    std::swap(p.x, p.next);
  }
  if (tall) {
    executor.run(Transpose{p.x, p.rows, p.columns, p.next, p.rows});
    std::swap(p.x, p.next);
  }
  executor.run(MuonApply{count, s.rate_factor, s.decay, m.factor, args.state, now, p.x, args.w + s.offset});
}

}  // namespace

std::unique_ptr<Op> make_op(Executor& executor, const OpDesc& desc, int batch) {
  return std::visit(Maker{executor, batch}, desc);
}

void gather(Executor& executor, const GatherArgs& args) {
  executor.run(OpenStep{args.batching, args.state});
  executor.run(Gather{args.batching, args.stored, args.shape, args.top, args.left, args.scale, args.shift,
                      args.images, args.stored_labels, floats(args.x), args.labels, args.state});
}

std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) {
  std::size_t most = 0;
  for (const WeightMatrix& matrix : matrices)
    most = std::max(most, Memory::bytes([&](auto& memory) { lay_out(memory, matrix); }));
  return most;
}

void update(Executor& executor, const UpdateArgs& args, UpdateStep* now) {
  for (std::size_t i = 0; i < args.optimizers->size(); ++i)
    executor.run(OpenUpdate{(*args.optimizers)[i], args.schedule, args.batching, args.state, now + i});
  for (const Segment& s : *args.segments) {
    const Optimizer& optimizer = (*args.optimizers)[s.optimizer];
    const int slots = optimizer_slots(optimizer);
    executor.run(Update{optimizer, count32(s.count), s.rate_factor, s.decay, args.state, now + s.optimizer,
                        args.dw + s.offset, args.w + s.offset, slots > 0 ? args.slot0 + s.offset : nullptr,
                        slots > 1 ? args.slot1 + s.offset : nullptr});
  }
  if (args.matrices != nullptr) {
    for (const WeightMatrix& matrix : *args.matrices)
      update_matrix(executor, args, matrix, now + matrix.segment.optimizer);
  }
  executor.run(CloseStep{args.state});
}

}  // namespace trainer::portable
