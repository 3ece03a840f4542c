// Pooling, bias and ReLU. In forward, a thread computes one output. In backward, a thread computes one element of the
// map from the windows that contain it, so that every element is written once and overlapping windows need no atomics;
// the same kernel sums the bias gradient.
#include "kernels/cuda/device_code/channel_sums.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/ops/pool.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 8192;

// The index in the map of a window's first element.
__device__ unsigned window_start(const PoolShape& s, const Position& out) {
  return s.map.index({out.n, out.y * s.stride.by(), out.x * s.stride.by(), out.c});
}

// The windows along one axis that contain position `at`: first to last.
struct Range {
  unsigned first, last;
};

__device__ Range windows_over(const PoolShape& s, unsigned at, unsigned windows) {
  return {at < s.size ? 0 : s.stride.quotient(at - s.size) + 1, min(s.stride.quotient(at), windows - 1)};
}

// Calls visit(output, place) for each window that contains an element of the map, with the output's index and the
// element's place in the window.
template <typename Visit>
__device__ void for_windows_over(const PoolShape& s, const Position& at, const Visit& visit) {
  const Range rows = windows_over(s, at.y, s.out.h.by());
  const Range columns = windows_over(s, at.x, s.out.w.by());
  for (unsigned y = rows.first; y <= rows.last; ++y) {
    for (unsigned x = columns.first; x <= columns.last; ++x) {
      const unsigned place = (at.y - y * s.stride.by()) * s.size + at.x - x * s.stride.by();
      visit(s.out.index({at.n, y, x, at.c}), place);
    }
  }
}

template <typename T>
__global__ void maxpool(PoolShape s, MapForward args, unsigned count) {
  const unsigned pitch = s.map.w.by() * s.map.c.by();
  for (unsigned i = grid_index(); i < count; i += grid_stride()) {
    const Position out = s.out.position(i);
    const T* row = static_cast<const T*>(args.map) + window_start(s, out);
    float best = static_cast<float>(*row);
    unsigned argmax = 0;
    for (unsigned y = 0; y < s.size; ++y, row += pitch) {
      for (unsigned x = 0; x < s.size; ++x) {
        const auto value = static_cast<float>(row[x * s.map.c.by()]);
        const bool larger = value > best || (isnan(value) && !isnan(best));
        best = larger ? value : best;
        argmax = larger ? y * s.size + x : argmax;
      }
    }
    if (args.bias != nullptr) best += args.bias[out.c];
    static_cast<T*>(args.y)[i] = static_cast<T>(args.relu ? relu(best) : best);
    if (args.argmax != nullptr) args.argmax[i] = static_cast<std::uint8_t>(argmax);
  }
}

template <typename T>
__global__ void bias_relu(const float* bias, bool with_relu, T* y, unsigned count, Divider by_channels) {
  const auto load = [&](unsigned i) {
    const unsigned c = i - by_channels.quotient(i) * by_channels.by();
    return static_cast<float>(y[i]) + (bias == nullptr ? 0.0F : bias[c]);
  };
  const auto use = [&](unsigned i, float z) { y[i] = static_cast<T>(with_relu ? relu(z) : z); };
  for_strided<4>(grid_index(), count, grid_stride(), load, use);  // loads in a row: 4
}

// Sums db from the gradients that pass the ReLU, in all blocks; the last one finishes the sums.
template <typename T>
__device__ void sum_bias_gradient(const MapBackward& a, const ChannelSums& sums, unsigned* ticket) {
  if (a.db == nullptr) return;
  const T* y = static_cast<const T*>(a.y);
  const T* dy = static_cast<const T*>(a.dy);
  write_partial_sums(sums, a.partial, [&](unsigned p, unsigned c) {
    return through_relu(a.relu, y, dy, p * sums.channels + c);
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums(sums, a.partial, [&](unsigned c, float sum) { a.db[c] = sum; });
}

template <typename T>
__global__ void maxpool_backward(PoolShape s, MapBackward a, unsigned count, ChannelSums sums,
                                 unsigned* ticket) {
  for (unsigned i = grid_index(); i < count; i += grid_stride()) {
    float sum = 0;
    for_windows_over(s, s.map.position(i), [&](unsigned output, unsigned place) {
      if (a.argmax[output] != place) return;
      sum += through_relu(a.relu, static_cast<const T*>(a.y), static_cast<const T*>(a.dy), output);
    });
    static_cast<T*>(a.dmap)[i] = static_cast<T>(sum);
  }
  sum_bias_gradient<T>(a, sums, ticket);
}

template <typename T>
__global__ void bias_relu_backward(MapBackward a, unsigned count, ChannelSums sums, unsigned* ticket) {
  const T* y = static_cast<const T*>(a.y);
  const T* dy = static_cast<const T*>(a.dy);
  T* dz = static_cast<T*>(a.dmap);
  const auto load = [&](unsigned i) { return through_relu(a.relu, y, dy, i); };
  const auto use = [&](unsigned i, float value) { dz[i] = static_cast<T>(value); };
  for_strided<4>(dz == nullptr ? count : grid_index(), count, grid_stride(), load, use);  // loads in a row: 8
  sum_bias_gradient<T>(a, sums, ticket);
}

template <typename T>
__global__ void avgpool(PoolShape s, const T* x, T* y, unsigned count) {
  const float weight = 1.0F / static_cast<float>(s.size * s.size);
  const unsigned pitch = s.map.w.by() * s.map.c.by();
  for (unsigned i = grid_index(); i < count; i += grid_stride()) {
    const T* row = x + window_start(s, s.out.position(i));
    float sum = 0;
    for (unsigned dy = 0; dy < s.size; ++dy, row += pitch) {
      for (unsigned dx = 0; dx < s.size; ++dx) sum += static_cast<float>(row[dx * s.map.c.by()]);
    }
    y[i] = static_cast<T>(sum * weight);
  }
}

template <typename T>
__global__ void avgpool_backward(PoolShape s, const T* dy, T* dx, unsigned count) {
  const float weight = 1.0F / static_cast<float>(s.size * s.size);
  for (unsigned i = grid_index(); i < count; i += grid_stride()) {
    float sum = 0;
    for_windows_over(s, s.map.position(i),
                     [&](unsigned output, unsigned) { sum += static_cast<float>(dy[output]); });
    dx[i] = static_cast<T>(sum * weight);
  }
}

unsigned count_of(const PoolShape& s, const MapIndex& map) {
  return s.batch * map.h.by() * map.w.by() * map.c.by();
}

// Pooling as a layer of its own.
class Pool final : public Op {
 public:
  Pool(const CudaContext& context, const OpDesc& desc, const Window& window, int batch)
      : Op(desc, batch),
        context_(context),
        max_(std::holds_alternative<MaxPoolDesc>(desc)),
        shape_(batch, in_shape(desc), out_shape(desc), window) {}

  std::size_t saved_bytes() const override { return max_ ? count_of(shape_, shape_.out) : 0; }

 private:
  void run_forward(const OpArgs& args) override {
    auto* argmax = args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) : nullptr;
    if (max_) return launch_maxpool(context_, shape_, {args.x, nullptr, false, args.y, argmax});
    const unsigned count = count_of(shape_, shape_.out);
    visit_element(context_.element, [&]<typename T>(ElementType<T>) {
      launch(context_.stream, cover(count, kThreads, kMostBlocks), "avgpool", avgpool<T>, shape_,
             static_cast<const T*>(args.x), static_cast<T*>(args.y), count);
    });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const auto* argmax = reinterpret_cast<const std::uint8_t*>(args.saved);
    if (max_) return launch_maxpool_backward(context_, shape_, {args.dy, args.y, false, argmax, args.dx});
    const unsigned count = count_of(shape_, shape_.map);
    visit_element(context_.element, [&]<typename T>(ElementType<T>) {
      launch(context_.stream, cover(count, kThreads, kMostBlocks), "avgpool_backward", avgpool_backward<T>,
             shape_, static_cast<const T*>(args.dy), static_cast<T*>(args.dx), count);
    });
  }

  const CudaContext& context_;
  bool max_;
  PoolShape shape_;
};

}  // namespace

void launch_maxpool(const CudaContext& context, const PoolShape& shape, const MapForward& args) {
  const unsigned count = count_of(shape, shape.out);
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(count, kThreads, kMostBlocks), "maxpool", maxpool<T>, shape, args, count);
  });
}

void launch_bias_relu(const CudaContext& context, const float* bias, bool relu, void* y, unsigned positions,
                      unsigned c) {
  const unsigned count = positions * c;
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(count, kThreads, kMostBlocks), "bias_relu", bias_relu<T>, bias, relu,
           static_cast<T*>(y), count, Divider(c));
  });
}

void launch_maxpool_backward(const CudaContext& context, const PoolShape& shape, const MapBackward& args) {
  const unsigned count = count_of(shape, shape.map);
  const unsigned channels = shape.out.c.by();
  const ChannelSums sums{count_of(shape, shape.out) / channels, channels};
  const unsigned most = args.db == nullptr ? kMostBlocks : kSumBlocks;
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(count, kSumThreads, most), "maxpool_backward", maxpool_backward<T>, shape,
           args, count, sums, context.ticket);
  });
}

void launch_bias_relu_backward(const CudaContext& context, unsigned positions, unsigned c,
                               const MapBackward& args) {
  const ChannelSums sums{positions, c};
  const unsigned count = positions * c;
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, channel_sums_shape(sums), "bias_relu_backward", bias_relu_backward<T>, args, count,
           sums, context.ticket);
  });
}

std::size_t db_partial_bytes(unsigned c) {
  return partial_sums_bytes(c);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const MaxPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  require_poolable(desc, desc.window, "GPU");
  return std::make_unique<Pool>(context, desc, desc.window, batch);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const AvgPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Pool>(context, desc, desc.window, batch);
}

}  // namespace trainer::cuda
