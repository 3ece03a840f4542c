// The ops that keep their shape (ReLU, GELU, leaky ReLU, dropout, batch normalisation, sums of residual blocks), and the choice of an op by its
// kind.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/math/dropout.hpp"
#include "tests/reference/maps.hpp"

namespace trainer::reference {

namespace {

struct Moments {
  double mean = 0;
  double variance = 0;  // biased
  double count = 0;
};

// The moments over the valid rows' elements of channel c.
Moments moments(const Shape& in, const Tensors& t, int c) {
  const std::size_t end = t.valid * in.size();
  const auto stride = static_cast<std::size_t>(in.c);
  Moments m;
  const std::size_t positions = end / stride;
  m.count = static_cast<double>(positions);
  for (std::size_t i = c; i < end; i += stride) m.mean += t.x[i] / m.count;
  for (std::size_t i = c; i < end; i += stride) m.variance += (t.x[i] - m.mean) * (t.x[i] - m.mean) / m.count;
  return m;
}

double kept(const DropoutDesc& desc, const Tensors& t, std::size_t element) {
  if (t.mode == Mode::inference) return 1;
  const bool keep = dropout_factor(desc.drop, t.seed, desc.stream, t.step, element) > 0;
  return keep ? 1 / (1 - static_cast<double>(desc.drop)) : 0;
}

}  // namespace

void apply_relu(Values& values, Values& margin) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0) margin[i] = std::min(margin[i], std::abs(values[i]));
    values[i] = std::max(values[i], 0.0);
  }
}

void run_forward(const ReluDesc&, Tensors& t) {
  t.y = t.x;
  t.margin.assign(t.y.size(), std::numeric_limits<double>::infinity());
  apply_relu(t.y, t.margin);
}

void run_backward(const ReluDesc&, Tensors& t) {
  t.dx.resize(t.x.size());
  for (std::size_t i = 0; i < t.x.size(); ++i) t.dx[i] = t.x[i] > 0 ? t.dy[i] : 0;
}

namespace {

constexpr double kGeluScale = 0.79788456080286535588;  // sqrt(2 / pi)

double gelu(double x) {
  return x / 2 * (1 + std::tanh(kGeluScale * (x + 0.044715 * x * x * x)));
}

double gelu_slope(double x) {
  const double t = std::tanh(kGeluScale * (x + 0.044715 * x * x * x));
  return (1 + t) / 2 + x / 2 * (1 - t * t) * kGeluScale * (1 + 3 * 0.044715 * x * x);
}

}  // namespace

void run_forward(const GeluDesc&, Tensors& t) {
  t.y = t.x;
  for (double& value : t.y) value = gelu(value);
}

void run_backward(const GeluDesc&, Tensors& t) {
  t.dx.resize(t.x.size());
  for (std::size_t i = 0; i < t.x.size(); ++i) t.dx[i] = t.dy[i] * gelu_slope(t.x[i]);
}

void run_forward(const LeakyReluDesc& desc, Tensors& t) {
  t.y = t.x;
  for (std::size_t i = 0; i < t.x.size(); ++i) {
    if (t.x[i] != 0) t.margin[i] = std::abs(t.x[i]);
    if (t.x[i] < 0) t.y[i] *= static_cast<double>(desc.slope);
  }
}

void run_backward(const LeakyReluDesc& desc, Tensors& t) {
  t.dx = t.dy;
  for (std::size_t i = 0; i < t.x.size(); ++i) {
    if (t.x[i] <= 0) t.dx[i] *= static_cast<double>(desc.slope);
  }
}

void run_forward(const ResidualDesc&, Tensors& t) {
  t.y = t.x;
  for (std::size_t i = 0; i < t.y.size(); ++i) t.y[i] += t.skip[i];
}

void run_backward(const ResidualDesc&, Tensors& t) {
  t.dx = t.dy;
  for (std::size_t i = 0; i < t.dx.size(); ++i) t.dx[i] += t.skip[i];
}

void run_forward(const DropoutDesc& desc, Tensors& t) {
  t.y.resize(t.x.size());
  for (std::size_t i = 0; i < t.x.size(); ++i) t.y[i] = t.x[i] * kept(desc, t, i);
}

void run_backward(const DropoutDesc& desc, Tensors& t) {
  t.dx.resize(t.x.size());
  for (std::size_t i = 0; i < t.x.size(); ++i) t.dx[i] = t.dy[i] * kept(desc, t, i);
}

namespace {

// The parameters of a batch normalisation, which may have no gamma.
struct NormParameters {
  const Values* gamma;  // null: 1
  Values& beta;
  Values& running_mean;
  Values& running_variance;

  NormParameters(const BatchNormDesc& desc, Tensors& t)
      : gamma(desc.gamma ? &t.parameters[0] : nullptr),
        beta(t.parameters[desc.gamma ? 1 : 0]),
        running_mean(t.parameters[desc.gamma ? 2 : 1]),
        running_variance(t.parameters[desc.gamma ? 3 : 2]) {}

  double gamma_of(std::size_t c) const { return gamma == nullptr ? 1 : (*gamma)[c]; }
};

}  // namespace

void run_forward(const BatchNormDesc& desc, Tensors& t) {
  const NormParameters parameters(desc, t);
  const double momentum = desc.momentum;
  const auto channels = static_cast<std::size_t>(desc.in.c);
  t.y.resize(t.x.size());
  for (std::size_t c = 0; c < channels; ++c) {
    double& running_mean = parameters.running_mean[c];
    double& running_variance = parameters.running_variance[c];
    Moments m{running_mean, running_variance, 0};
    if (t.mode == Mode::training) {
      m = moments(desc.in, t, static_cast<int>(c));
      const double unbiased = m.count > 1 ? m.variance * m.count / (m.count - 1) : m.variance;
      running_mean = (1 - momentum) * running_mean + momentum * m.mean;
      running_variance = (1 - momentum) * running_variance + momentum * unbiased;
    }
    const double deviation = std::sqrt(m.variance + static_cast<double>(desc.epsilon));
    for (std::size_t i = c; i < t.x.size(); i += channels) {
      const double u = parameters.gamma_of(c) * (t.x[i] - m.mean) / deviation + parameters.beta[c];
      t.y[i] = desc.gelu ? gelu(u) : u;
    }
  }
}

// With xh = (x - mean) / deviation and g the gradient of gamma xh + beta (Ioffe and Szegedy 2015):
//   dx = gamma / deviation (g - mean(g) - xh mean(g xh)),  dgamma = sum(g xh),  dbeta = sum(g)
// all over the valid rows. Rows that are not selected keep a dx of 0, but count in the means' divisor.
void run_backward(const BatchNormDesc& desc, Tensors& t) {
  const NormParameters parameters(desc, t);
  const auto channels = static_cast<std::size_t>(desc.in.c);
  const std::size_t end = t.valid * desc.in.size();
  t.dx.assign(t.x.size(), 0);
  t.gradients.assign(desc.gamma ? 2 : 1, Values(channels, 0));
  for (std::size_t c = 0; c < channels; ++c) {
    const Moments m = moments(desc.in, t, static_cast<int>(c));
    const double deviation = std::sqrt(m.variance + static_cast<double>(desc.epsilon));
    const double gamma = parameters.gamma_of(c);
    const auto normal = [&](std::size_t i) { return (t.x[i] - m.mean) / deviation; };
    const auto slope = [&](std::size_t i) {
      return t.dy[i] * (desc.gelu ? gelu_slope(gamma * normal(i) + parameters.beta[c]) : 1);
    };
    double dgamma = 0;
    double dbeta = 0;
    const auto kept = [&](std::size_t i) { return t.kept.empty() || t.kept[i / desc.in.size()] == 1; };
    for (std::size_t i = c; i < end; i += channels) {
      if (!kept(i)) continue;
      dgamma += slope(i) * normal(i);
      dbeta += slope(i);
    }
    for (std::size_t i = c; i < end; i += channels) {
      if (kept(i)) t.dx[i] = gamma / deviation * (slope(i) - dbeta / m.count - normal(i) * dgamma / m.count);
    }
    if (desc.gamma) t.gradients[0][c] = dgamma;
    t.gradients.back()[c] = dbeta;
  }
}

void forward(const OpDesc& desc, Tensors& t) {
  t.margin.assign(t.batch * out_shape(desc).size(), std::numeric_limits<double>::infinity());
  std::visit([&](const auto& d) { run_forward(d, t); }, desc);
}

void backward(const OpDesc& desc, Tensors& t) {
  std::visit([&](const auto& d) { run_backward(d, t); }, desc);
}

}  // namespace trainer::reference
