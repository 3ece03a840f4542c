// Pooling. Forward: a thread an output. Backward: a thread an element of the map, which asks the windows that
// hold it, so that every element is written once and overlapping windows need no atomics.
#include <string>

#include "kernels/cuda/device_code/channel_sums.cuh"
#include "kernels/cuda/device_code/grid.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/ops/pool.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 8192;
constexpr int kLargestWindow = 15;

// [n, y, x, c] of a flat index into maps of one shape.
struct Place {
  int n, y, x, c;
};

__device__ Place place_of(std::size_t index, const Shape& shape) {
  const auto channels = static_cast<std::size_t>(shape.c);
  const auto width = static_cast<std::size_t>(shape.w);
  const auto height = static_cast<std::size_t>(shape.h);
  const std::size_t row = index / channels / width;
  return {static_cast<int>(row / height), static_cast<int>(row % height),
          static_cast<int>(index / channels % width), static_cast<int>(index % channels)};
}

__device__ std::size_t index_of(const Place& p, const Shape& shape) {
  return ((static_cast<std::size_t>(p.n) * shape.h + p.y) * shape.w + p.x) * shape.c + p.c;
}

// The windows along one axis that hold position `at`: first to last.
struct Range {
  int first, last;
};

__device__ Range windows_over(int at, const Window& window, int positions) {
  const int first = at < window.size ? 0 : (at - window.size) / window.stride + 1;
  const int last = at / window.stride;
  return {first, last < positions ? last : positions - 1};
}

template <typename T>
__global__ void maxpool(PoolShape s, PoolForward args, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const Place out = place_of(i, s.out);
    const Place corner{out.n, out.y * s.window.stride, out.x * s.window.stride, out.c};
    const T* row = static_cast<const T*>(args.map) + index_of(corner, s.map);
    float best = static_cast<float>(*row);
    int argmax = 0;
    for (int y = 0; y < s.window.size; ++y, row += static_cast<std::size_t>(s.map.w) * s.map.c) {
      for (int x = 0; x < s.window.size; ++x) {
        const auto value = static_cast<float>(row[static_cast<std::size_t>(x) * s.map.c]);
        const bool wins = value > best || (isnan(value) && !isnan(best));
        best = wins ? value : best;
        argmax = wins ? y * s.window.size + x : argmax;
      }
    }
    if (args.bias != nullptr) best += args.bias[out.c];
    static_cast<T*>(args.y)[i] = static_cast<T>(s.relu ? relu(best) : best);
    if (args.argmax != nullptr) args.argmax[i] = static_cast<std::uint8_t>(argmax);
  }
}

template <typename T>
__device__ float gradient_at(const PoolShape& s, const PoolBackward& args, const Place& at) {
  const T* y = static_cast<const T*>(args.y);
  const T* dy = static_cast<const T*>(args.dy);
  const Range rows = windows_over(at.y, s.window, s.out.h);
  const Range columns = windows_over(at.x, s.window, s.out.w);
  float sum = 0;
  for (int row = rows.first; row <= rows.last; ++row) {
    for (int column = columns.first; column <= columns.last; ++column) {
      const std::size_t i = index_of({at.n, row, column, at.c}, s.out);
      const int own = (at.y - row * s.window.stride) * s.window.size + (at.x - column * s.window.stride);
      if (args.argmax[i] == own) sum += through_relu(s.relu, y, dy, i);
    }
  }
  return sum;
}

template <typename T>
__global__ void maxpool_backward(PoolShape s, PoolBackward args, std::size_t count, ChannelSums sums,
                                 unsigned* ticket) {
  T* dmap = static_cast<T*>(args.dmap);
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    dmap[i] = static_cast<T>(gradient_at<T>(s, args, place_of(i, s.map)));
  if (args.db == nullptr) return;
  const auto channels = static_cast<std::size_t>(s.out.c);
  const T* y = static_cast<const T*>(args.y);
  const T* dy = static_cast<const T*>(args.dy);
  write_partial_sums(sums, args.partial, [&](std::size_t p, unsigned c) {
    return through_relu(s.relu, y, dy, p * channels + c);
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums(sums, args.partial, [&](unsigned c, float sum) { args.db[c] = sum; });
}

template <typename T>
__global__ void avgpool(PoolShape s, const void* from, void* to, std::size_t count) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  const float fraction = 1.0F / static_cast<float>(s.window.size * s.window.size);
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const Place out = place_of(i, s.out);
    float sum = 0;
    for (int dy = 0; dy < s.window.size; ++dy) {
      for (int dx = 0; dx < s.window.size; ++dx) {
        const Place at{out.n, out.y * s.window.stride + dy, out.x * s.window.stride + dx, out.c};
        sum += static_cast<float>(x[index_of(at, s.map)]);
      }
    }
    y[i] = static_cast<T>(sum * fraction);
  }
}

template <typename T>
__global__ void avgpool_backward(PoolShape s, const void* from, void* to, std::size_t count) {
  const T* dy = static_cast<const T*>(from);
  T* dx = static_cast<T*>(to);
  const float fraction = 1.0F / static_cast<float>(s.window.size * s.window.size);
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const Place at = place_of(i, s.map);
    const Range rows = windows_over(at.y, s.window, s.out.h);
    const Range columns = windows_over(at.x, s.window, s.out.w);
    float sum = 0;
    for (int y = rows.first; y <= rows.last; ++y) {
      for (int x = columns.first; x <= columns.last; ++x)
        sum += static_cast<float>(dy[index_of({at.n, y, x, at.c}, s.out)]);
    }
    dx[i] = static_cast<T>(sum * fraction);
  }
}

std::size_t count_of(const PoolShape& s, const Shape& shape) {
  return static_cast<std::size_t>(s.batch) * shape.size();
}

class MaxPool final : public Op {
 public:
  MaxPool(const CudaContext& context, const MaxPoolDesc& desc, int batch)
      : Op(desc, batch), context_(context), shape_{batch, desc.in, out_shape(desc), desc.window, false} {}

  std::size_t saved_bytes() const override { return count_of(shape_, shape_.out); }

 private:
  void run_forward(const OpArgs& args) override {
    launch_maxpool(context_, shape_,
                   {args.x, nullptr, args.y, args.mode == Mode::training ? argmax_of(args) : nullptr});
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch_maxpool_backward(context_, shape_, {args.dy, args.y, argmax_of(args), args.dx, nullptr, nullptr});
  }
  static std::uint8_t* argmax_of(const OpArgs& args) { return reinterpret_cast<std::uint8_t*>(args.saved); }

  const CudaContext& context_;
  PoolShape shape_;
};

class AvgPool final : public Op {
 public:
  AvgPool(const CudaContext& context, const AvgPoolDesc& desc, int batch)
      : Op(desc, batch), context_(context), shape_{batch, desc.in, out_shape(desc), desc.window, false} {}

 private:
  void run_forward(const OpArgs& args) override {
    const std::size_t count = count_of(shape_, shape_.out);
    visit_element(context_.element, [&](auto of) {
      using T = typename decltype(of)::Type;
      launch(context_.stream, cover(count, kThreads, kMostBlocks), "avgpool", avgpool<T>, shape_, args.x,
             args.y, count);
    });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const std::size_t count = count_of(shape_, shape_.map);
    visit_element(context_.element, [&](auto of) {
      using T = typename decltype(of)::Type;
      launch(context_.stream, cover(count, kThreads, kMostBlocks), "avgpool_backward", avgpool_backward<T>,
             shape_, args.dy, args.dx, count);
    });
  }

  const CudaContext& context_;
  PoolShape shape_;
};

}  // namespace

void require_poolable(const OpDesc& desc, const Window& window) {
  if (window.size <= kLargestWindow) return;
  throw BackendError(describe(desc) + ": the GPU engine pools windows of at most " +
                     std::to_string(kLargestWindow) + " by " + std::to_string(kLargestWindow) +
                     "; use avgpool, or pool in two steps");
}

void launch_maxpool(const CudaContext& context, const PoolShape& shape, const PoolForward& args) {
  const std::size_t count = count_of(shape, shape.out);
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, cover(count, kThreads, kMostBlocks), "maxpool", maxpool<T>, shape, args, count);
  });
}

void launch_maxpool_backward(const CudaContext& context, const PoolShape& shape, const PoolBackward& args) {
  const std::size_t count = count_of(shape, shape.map);
  const ChannelSums sums{count_of(shape, shape.out) / static_cast<std::size_t>(shape.out.c), shape.out.c};
  const unsigned most = args.db == nullptr ? kMostBlocks : kSumBlocks;
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, cover(count, kSumThreads, most), "maxpool_backward", maxpool_backward<T>, shape,
           args, count, sums, context.ticket);
  });
}

std::unique_ptr<Op> make_op(const CudaContext& context, const MaxPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  require_poolable(desc, desc.window);
  return std::make_unique<MaxPool>(context, desc, batch);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const AvgPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<AvgPool>(context, desc, batch);
}

}  // namespace trainer::cuda
