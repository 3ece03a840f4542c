#include "tests/kernels/samples.hpp"

#include <cmath>
#include <random>

namespace trainer {

namespace {

class Samples {
 public:
  explicit Samples(SampleKind kind) : kind_(kind) {}

  // Uniform in [-reach, reach) or, on the grid, a multiple of 1/8 from -1 to 1 regardless of reach.
  double value(double reach) {
    if (kind_ == SampleKind::grid) return static_cast<int>(bits_() % 17) / 8.0 - 1;
    return static_cast<float>(reach * (bits_() * 0x1p-31 - 1));
  }

  // [count], zero from element `filled` on
  reference::Values values(std::size_t count, std::size_t filled, double reach, double middle = 0) {
    reference::Values v(count, 0);
    for (std::size_t i = 0; i < filled; ++i) v[i] = static_cast<float>(middle + value(reach));
    return v;
  }

  std::uint32_t number() { return static_cast<std::uint32_t>(bits_()); }

 private:
  SampleKind kind_;
  std::mt19937 bits_{20240607};
};

reference::Values parameter_values(const ParameterDesc& p, Samples& samples) {
  const std::size_t count = p.count();
  switch (p.role) {
    case ParameterRole::weight:
      return samples.values(count, count, std::sqrt(6.0 / p.fan_in), 0);
    case ParameterRole::gamma:
      return samples.values(count, count, 0.5, 1);
    case ParameterRole::running_variance:
      return samples.values(count, count, 0.5, 1.25);
    case ParameterRole::bias:
    case ParameterRole::beta:
    case ParameterRole::running_mean:
      break;
  }
  return samples.values(count, count, 0.5);
}

}  // namespace

reference::Tensors sample_tensors(const OpDesc& desc, int batch, int valid, SampleKind kind) {
  Samples samples(kind);
  reference::Tensors t;
  t.batch = batch;
  t.valid = valid;
  t.seed = 0x1234567890ABCDEF;
  t.step = 0x100000007;
  t.steps = 0x200000000;
  t.x = samples.values(batch * in_shape(desc).size(), valid * in_shape(desc).size(), 1, 0.25);
  t.dy = samples.values(batch * out_shape(desc).size(), valid * out_shape(desc).size(), 1);
  if (std::holds_alternative<ResidualDesc>(desc))
    t.skip = samples.values(t.x.size(), valid * in_shape(desc).size(), 1);
  for (const ParameterDesc& p : parameters(desc)) t.parameters.push_back(parameter_values(p, samples));
  t.labels.assign(batch, 0);
  if (const auto* head = std::get_if<HeadDesc>(&desc)) {
    for (int n = 0; n < valid; ++n) t.labels[n] = static_cast<std::uint8_t>(samples.number() % head->classes);
  }
  return t;
}

void drop_undecided(double distance, reference::Tensors& t) {
  for (std::size_t i = 0; i < t.dy.size(); ++i) {
    if (t.margin[i] < distance) t.dy[i] = 0;
  }
}

}  // namespace trainer
