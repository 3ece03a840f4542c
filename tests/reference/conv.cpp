// Convolution as seven nested loops, then max pooling and ReLU if the layer has them.
#include <limits>

#include "tests/reference/maps.hpp"

namespace trainer::reference {

namespace {

// A position of the filter that lies inside the input: offsets of its channels in x and in one filter of w.
struct Tap {
  std::size_t x;
  std::size_t w;
};

// The taps of output position (i, j) of image n that do not fall on the border.
std::vector<Tap> taps(const ConvDesc& d, int n, int i, int j) {
  std::vector<Tap> all;
  for (int a = 0; a < d.kernel; ++a) {
    for (int b = 0; b < d.kernel; ++b) {
      const int row = i * d.stride + a - d.pad.top;
      const int column = j * d.stride + b - d.pad.left;
      if (row < 0 || row >= d.in.h || column < 0 || column >= d.in.w) continue;
      all.push_back({at(d.in, n, row, column, 0), (static_cast<std::size_t>(a) * d.kernel + b) * d.in.c});
    }
  }
  return all;
}

// Calls visit(o, offset of filter o in w, taps, flat index) for every element of the map before pooling.
template <typename Visit>
void for_each_output(const ConvDesc& d, int batch, Visit visit) {
  const Shape map = conv_map(d);
  const std::size_t filter = static_cast<std::size_t>(d.kernel) * d.kernel * d.in.c;
  std::size_t index = 0;
  for (int n = 0; n < batch; ++n) {
    for (int i = 0; i < map.h; ++i) {
      for (int j = 0; j < map.w; ++j) {
        const std::vector<Tap> met = taps(d, n, i, j);
        for (std::size_t o = 0; o < static_cast<std::size_t>(map.c); ++o) visit(o, o * filter, met, index++);
      }
    }
  }
}

// [batch, conv_map]
Values convolve(const ConvDesc& d, const Tensors& t) {
  Values map(t.batch * conv_map(d).size());
  for_each_output(d, t.batch,
                  [&](std::size_t o, std::size_t filter, const std::vector<Tap>& met, std::size_t index) {
                    double sum = d.bias ? t.parameters[1][o] : 0;
                    for (const Tap& tap : met) {
                      for (int c = 0; c < d.in.c; ++c) {
                        sum += t.x[tap.x + c] * t.parameters[0][filter + tap.w + c];
                      }
                    }
                    map[index] = sum;
                  });
  return map;
}

// The gradient of the map at the input of pooling and ReLU. [batch, conv_map]
Values gradient_at_map(const ConvDesc& d, const Tensors& t) {
  const Values map = convolve(d, t);
  Values dmap(map.size(), 0);
  if (d.pool) {
    const Pooled pooled = max_pool(map, t.batch, conv_map(d), d.pool);
    for (std::size_t i = 0; i < pooled.value.size(); ++i) {
      if (!d.relu || pooled.value[i] > 0) dmap[pooled.argmax[i]] += t.dy[i];
    }
  } else {
    for (std::size_t i = 0; i < map.size(); ++i) dmap[i] = !d.relu || map[i] > 0 ? t.dy[i] : 0;
  }
  return dmap;
}

}  // namespace

void run_forward(const ConvDesc& desc, Tensors& t) {
  t.y = convolve(desc, t);
  t.margin.assign(t.y.size(), std::numeric_limits<double>::infinity());
  if (desc.pool) {
    Pooled pooled = max_pool(t.y, t.batch, conv_map(desc), desc.pool);
    t.y = std::move(pooled.value);
    t.margin = std::move(pooled.margin);
  }
  if (desc.relu) apply_relu(t.y, t.margin);
}

void run_backward(const ConvDesc& desc, Tensors& t) {
  const Values dmap = gradient_at_map(desc, t);
  t.dx.assign(t.batch * desc.in.size(), 0);
  t.gradients.clear();
  for (const ParameterDesc& p : parameters(desc)) t.gradients.emplace_back(p.count(), 0.0);
  for_each_output(desc, t.batch,
                  [&](std::size_t o, std::size_t filter, const std::vector<Tap>& met, std::size_t index) {
                    const double g = dmap[index];
                    if (g == 0) return;
                    if (desc.bias) t.gradients[1][o] += g;
                    for (const Tap& tap : met) {
                      for (int c = 0; c < desc.in.c; ++c) {
                        t.dx[tap.x + c] += g * t.parameters[0][filter + tap.w + c];
                        t.gradients[0][filter + tap.w + c] += g * t.x[tap.x + c];
                      }
                    }
                  });
}

}  // namespace trainer::reference
