// Replaces cuDNN: implements open_convolutions() of kernels/cuda/runtime/library.hpp by plain loops over float, so that the emulated engine
// runs whole networks. Sums have one fixed order. The loops run along rows of a window, whose k pixels of c channels
// are contiguous both in the map and in the filter; forward runs along the filters instead, over a copy of the filters
// in its workspace with the output channel innermost.
#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/library.hpp"
#include "tests/emulator/emulator.hpp"
#include "tests/emulator/rounding.hpp"

namespace trainer::cuda {
namespace {

using ::emulator::add_scaled;
using ::emulator::Input;
using ::emulator::Output;

// The part of a window's row that lies inside the map.
struct WindowRow {
  std::size_t in;      // first element in the image
  std::size_t filter;  // first element in the filter
  std::size_t length;  // elements of both
};

class Geometry {
 public:
  explicit Geometry(const LayerShape& shape)
      : shape_(shape),
        rows_(window_positions(shape.in.h + shape.pad.top + shape.pad.bottom, shape.kernel, shape.stride)),
        columns_(
            window_positions(shape.in.w + shape.pad.left + shape.pad.right, shape.kernel, shape.stride)) {}

  const LayerShape& shape() const { return shape_; }
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  std::size_t out() const { return static_cast<std::size_t>(shape_.out); }
  std::size_t filter() const { return static_cast<std::size_t>(shape_.kernel) * shape_.kernel * shape_.in.c; }
  std::size_t weights() const { return out() * filter(); }
  std::size_t pixels() const { return static_cast<std::size_t>(rows_) * columns_; }
  std::size_t in_elements() const { return static_cast<std::size_t>(shape_.batch) * shape_.in.size(); }
  std::size_t out_elements() const { return static_cast<std::size_t>(shape_.batch) * pixels() * out(); }

  // Calls visit(image, pixel, rows of its window) for each output pixel in turn.
  template <typename Visit>
  void each_window(Visit visit) const {
    std::vector<WindowRow> rows;
    for (int n = 0; n < shape_.batch; ++n) {
      for (int y = 0; y < rows_; ++y) {
        for (int x = 0; x < columns_; ++x) {
          fill_rows(y, x, rows);
          visit(static_cast<std::size_t>(n), static_cast<std::size_t>(y) * columns_ + x, rows);
        }
      }
    }
  }

 private:
  void fill_rows(int y, int x, std::vector<WindowRow>& rows) const {
    const Shape& in = shape_.in;
    const int top = y * shape_.stride - shape_.pad.top;
    const int left = x * shape_.stride - shape_.pad.left;
    const int first = std::max(0, -left);
    const int last = std::min(shape_.kernel, in.w - left);
    rows.clear();
    for (int k = 0; k < shape_.kernel; ++k) {
      const int row = top + k;
      if (row < 0 || row >= in.h || first >= last) continue;
      rows.push_back({(static_cast<std::size_t>(row) * in.w + left + first) * in.c,
                      (static_cast<std::size_t>(k) * shape_.kernel + first) * in.c,
                      static_cast<std::size_t>(last - first) * in.c});
    }
  }

  LayerShape shape_;
  int rows_;
  int columns_;
};

void run_forward(const Geometry& geometry, const void* x_given, const void* w_given, void* y, float* turned) {
  const Precision precision = geometry.shape().precision;
  const Input x(x_given, geometry.in_elements(), precision);
  const Input w(w_given, geometry.weights(), precision);
  const std::size_t out = geometry.out();
  const std::size_t filter = geometry.filter();
  Output result(geometry.out_elements());
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < filter; ++i) turned[i * out + o] = w.data()[o * filter + i];
  }
  geometry.each_window([&](std::size_t n, std::size_t pixel, const std::vector<WindowRow>& rows) {
    const float* image = x.data() + n * geometry.shape().in.size();
    float* sums = result.data() + (n * geometry.pixels() + pixel) * out;
    for (const WindowRow& row : rows) {
      for (std::size_t i = 0; i < row.length; ++i) {
        add_scaled(sums, turned + (row.filter + i) * out, out, image[row.in + i]);
      }
    }
  });
  result.store(y, element_of(precision));
}

void run_weights(const Geometry& geometry, const void* x_given, const void* dy_given, void* dw) {
  const Precision precision = geometry.shape().precision;
  const Input x(x_given, geometry.in_elements(), precision);
  const Input dy(dy_given, geometry.out_elements(), precision);
  const std::size_t out = geometry.out();
  Output result(geometry.weights());
  geometry.each_window([&](std::size_t n, std::size_t pixel, const std::vector<WindowRow>& rows) {
    const float* image = x.data() + n * geometry.shape().in.size();
    const float* gradients = dy.data() + (n * geometry.pixels() + pixel) * out;
    for (std::size_t o = 0; o < out; ++o) {
      if (gradients[o] == 0) continue;  // most are, at a max pool's input
      for (const WindowRow& row : rows) {
        add_scaled(result.data() + o * geometry.filter() + row.filter, image + row.in, row.length,
                   gradients[o]);
      }
    }
  });
  result.store(dw, element_of(precision));
}

void run_data(const Geometry& geometry, const void* dy_given, const void* w_given, void* dx) {
  const Precision precision = geometry.shape().precision;
  const Input dy(dy_given, geometry.out_elements(), precision);
  const Input w(w_given, geometry.weights(), precision);
  const std::size_t out = geometry.out();
  Output result(geometry.in_elements());
  geometry.each_window([&](std::size_t n, std::size_t pixel, const std::vector<WindowRow>& rows) {
    float* image = result.data() + n * geometry.shape().in.size();
    const float* gradients = dy.data() + (n * geometry.pixels() + pixel) * out;
    for (std::size_t o = 0; o < out; ++o) {
      if (gradients[o] == 0) continue;
      for (const WindowRow& row : rows) {
        add_scaled(image + row.in, w.data() + o * geometry.filter() + row.filter, row.length, gradients[o]);
      }
    }
  });
  result.store(dx, element_of(precision));
}

class EmulatedConvolution final : public LayerPasses {
 public:
  EmulatedConvolution(const LayerShape& shape, cudaStream_t stream) : geometry_(shape), stream_(stream) {}

  std::size_t workspace_bytes() const override { return geometry_.weights() * sizeof(float); }

  void forward(const void* x, const void* w, void* y, void* workspace) override {
    if (workspace == nullptr) throw BackendError("convolution forward: no workspace");
    auto* turned = static_cast<float*>(workspace);
    queue("convolution forward", [=, geometry = geometry_] { run_forward(geometry, x, w, y, turned); });
  }

  void backward_weights(const void* x, const void* dy, void* dw, float*, void*) override {
    queue("convolution backward weights", [=, geometry = geometry_] { run_weights(geometry, x, dy, dw); });
  }

  void backward_data(const void* dy, const void* w, void* dx, void*) override {
    if (!geometry_.shape().wants_dx) throw BackendError("convolution backward data: made without wants_dx");
    queue("convolution backward data", [=, geometry = geometry_] { run_data(geometry, dy, w, dx); });
  }

 private:
  template <typename Run>
  void queue(const char* name, Run run) {
    check(::emulator::enqueue(stream_, name, std::move(run), this), name);
  }

  Geometry geometry_;
  cudaStream_t stream_;
};

class EmulatedConvolutions final : public Library {
 public:
  explicit EmulatedConvolutions(const ConvolutionOptions& options) : stream_(options.stream) {}

  std::unique_ptr<LayerPasses> make(const LayerShape& shape) override {
    const Geometry geometry(shape);
    const bool positive =
        shape.batch > 0 && shape.in.size() > 0 && shape.out > 0 && shape.kernel > 0 && shape.stride > 0;
    const bool padded =
        shape.pad.top >= 0 && shape.pad.bottom >= 0 && shape.pad.left >= 0 && shape.pad.right >= 0;
    if (!positive || !padded || geometry.pixels() == 0) {
      throw BackendError(fmt::format(
          "convolution {0}x{0}x{1}, stride {2}, on {3}x{4}x{5}, batch {6}: no such shape", shape.kernel,
          shape.out, shape.stride, shape.in.h, shape.in.w, shape.in.c, shape.batch));
    }
    return std::make_unique<EmulatedConvolution>(shape, stream_);
  }

 private:
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<Library> open_convolutions(const ConvolutionOptions& options) {
  check(::emulator::library_call("cudnnCreate"), "cudnnCreate");
  return std::make_unique<EmulatedConvolutions>(options);
}

std::string convolutions_version() {
  return "emulated";
}

}  // namespace trainer::cuda
