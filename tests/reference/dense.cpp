// Dense layers, and the head: the last of them with softmax, cross-entropy and correct answers.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/maps.hpp"

namespace trainer::reference {

namespace {

struct Product {
  int batch;
  int in;
  int out;
  bool bias;
};

// x w^T + b: [batch, out]
Values product(const Product& p, const Tensors& t) {
  Values y(static_cast<std::size_t>(p.batch) * p.out);
  for (int n = 0; n < p.batch; ++n) {
    for (int o = 0; o < p.out; ++o) {
      const double* x = &t.x[static_cast<std::size_t>(n) * p.in];
      const double* w = &t.parameters[0][static_cast<std::size_t>(o) * p.in];
      double sum = p.bias ? t.parameters[1][static_cast<std::size_t>(o)] : 0;
      for (int i = 0; i < p.in; ++i) sum += x[i] * w[i];
      y[static_cast<std::size_t>(n) * p.out + o] = sum;
    }
  }
  return y;
}

// dx = g w, dw = g^T x, db = column sums of g, for g [batch, out]
void product_backward(const Product& p, const Values& g, Tensors& t) {
  t.dx.assign(static_cast<std::size_t>(p.batch) * p.in, 0);
  t.gradients.assign(1, Values(static_cast<std::size_t>(p.out) * p.in, 0));
  if (p.bias) t.gradients.emplace_back(p.out, 0.0);
  for (int n = 0; n < p.batch; ++n) {
    for (int o = 0; o < p.out; ++o) {
      const double slope = g[static_cast<std::size_t>(n) * p.out + o];
      if (p.bias) t.gradients[1][static_cast<std::size_t>(o)] += slope;
      const std::size_t row = static_cast<std::size_t>(n) * p.in;
      const std::size_t filter = static_cast<std::size_t>(o) * p.in;
      for (int i = 0; i < p.in; ++i) {
        t.dx[row + i] += slope * t.parameters[0][filter + i];
        t.gradients[0][filter + i] += slope * t.x[row + i];
      }
    }
  }
}

Product product_of(const DenseDesc& d, const Tensors& t) {
  return {t.batch, d.in, d.out, d.bias};
}

Product product_of(const HeadDesc& d, const Tensors& t) {
  return {t.batch, d.in, d.classes, d.bias};
}

// log(sum(exp(row)))
double log_sum_exp(const double* row, int classes) {
  const double largest = *std::max_element(row, row + classes);
  double sum = 0;
  for (int k = 0; k < classes; ++k) sum += std::exp(row[k] - largest);
  return largest + std::log(sum);
}

}  // namespace

void run_forward(const DenseDesc& desc, Tensors& t) {
  t.y = product(product_of(desc, t), t);
  t.margin.assign(t.y.size(), std::numeric_limits<double>::infinity());
  if (desc.relu) apply_relu(t.y, t.margin);
}

void run_backward(const DenseDesc& desc, Tensors& t) {
  const Product p = product_of(desc, t);
  Values g = t.dy;
  if (desc.relu && !desc.y_map.masked) {
    const Values y = product(p, t);
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = y[i] > 0 ? g[i] : 0;
  }
  product_backward(p, g, t);
}

namespace {

// The target probability of class k.
double target(const HeadDesc& desc, const Tensors& t, int label, int k) {
  const double smoothing = t.mode == Mode::training ? desc.label_smoothing : 0;
  return smoothing / desc.classes + (k == label ? 1 - smoothing : 0);
}

Values logits(const HeadDesc& desc, const Tensors& t) {
  Values y = product(product_of(desc, t), t);
  for (double& value : y) value *= desc.logit_scale;
  return y;
}

// Selects row by row, each time the hardest of the remaining ones.
std::vector<std::uint8_t> hardest_rows(const HeadDesc& desc, const Tensors& t) {
  std::vector<std::uint8_t> kept(static_cast<std::size_t>(t.batch), 0);
  Values losses;  // -1: taken
  for (int n = 0; n < t.valid; ++n) {
    const double* row = &t.y[static_cast<std::size_t>(n) * desc.classes];
    losses.push_back(log_sum_exp(row, desc.classes) - row[t.labels[static_cast<std::size_t>(n)]]);
  }
  const double progress = static_cast<double>(t.step) / static_cast<double>(t.steps);
  int count = t.valid;
  if (progress >= desc.selection.from)
    count = std::max(1, static_cast<int>(desc.selection.fraction * t.valid));
  for (; count > 0; --count) {
    const auto hardest = std::max_element(losses.begin(), losses.end());  // the first of equal ones
    kept[static_cast<std::size_t>(hardest - losses.begin())] = 1;
    *hardest = -1;
  }
  return kept;
}

}  // namespace

void run_forward(const HeadDesc& desc, Tensors& t) {
  t.y = logits(desc, t);
  t.loss = 0;
  t.correct = 0;
  for (int n = 0; n < t.valid; ++n) {
    const double* row = &t.y[static_cast<std::size_t>(n) * desc.classes];
    const int label = t.labels[static_cast<std::size_t>(n)];
    const double norm = log_sum_exp(row, desc.classes);
    for (int k = 0; k < desc.classes; ++k) t.loss += target(desc, t, label, k) * (norm - row[k]);
    if (std::max_element(row, row + desc.classes) - row == label) ++t.correct;
  }
  if (desc.selection.selects() && t.mode == Mode::training) t.kept = hardest_rows(desc, t);
}

void run_backward(const HeadDesc& desc, Tensors& t) {
  const Product p = product_of(desc, t);
  Values g = logits(desc, t);
  int count = t.valid;
  if (!t.kept.empty()) count = static_cast<int>(std::count(t.kept.begin(), t.kept.end(), 1));
  for (int n = 0; n < t.batch; ++n) {
    const bool kept = n < t.valid && (t.kept.empty() || t.kept[static_cast<std::size_t>(n)] == 1);
    double* row = &g[static_cast<std::size_t>(n) * desc.classes];
    const double norm = log_sum_exp(row, desc.classes);
    for (int k = 0; k < desc.classes; ++k) {
      const double share = target(desc, t, t.labels[static_cast<std::size_t>(n)], k);
      row[k] = kept ? desc.logit_scale * (std::exp(row[k] - norm) - share) / count : 0;
    }
  }
  product_backward(p, g, t);
  for (std::size_t i = 0; desc.x_map.masked && i < t.dx.size(); ++i) t.dx[i] = t.x[i] > 0 ? t.dx[i] : 0;
}

}  // namespace trainer::reference
