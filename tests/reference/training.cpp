#include "tests/reference/training.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace trainer::reference {

namespace {

constexpr double kPi = 3.14159265358979323846;

std::vector<std::uint32_t> pass_order(const Batching& b, std::uint64_t seed, std::uint64_t pass) {
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < b.images; ++i) {
    order.push_back(b.first + (b.order == Order::fixed ? i : permuted(i, b.images, seed, pass)));
  }
  return order;
}

double value_at(const Pieces& pieces, std::uint64_t epoch) {
  double value = 0;
  for (int i = 0; i < pieces.count; ++i) {
    if (pieces.from[i] <= epoch) value = pieces.value[i];
  }
  return value;
}

// torch.optim.lr_scheduler.OneCycleLR with anneal_strategy "cos" and two phases.
double one_cycle(const Schedule& s, double step) {
  const double lowest = static_cast<double>(s.rate) / s.start_divisor;
  const double peak_step = static_cast<double>(s.warmup) * static_cast<double>(s.steps) - 1;
  const double last_step = static_cast<double>(s.steps) - 1;
  const auto anneal = [](double from, double to, double share) {
    return to + (from - to) * (1 + std::cos(kPi * share)) / 2;
  };
  if (step <= peak_step) return anneal(lowest, s.rate, step / peak_step);
  return anneal(s.rate, lowest / s.end_divisor, (step - peak_step) / (last_step - peak_step));
}

struct Rates {
  double rate;
  double decay;
  double momentum;
  double t;  // steps including this one
};

void sgd(const Optimizer& o, const Rates& r, double g, double& w, double& v) {
  g += r.decay * w;
  if (o.dampening && o.momentum.count > 0) g *= 1 - r.momentum;
  v = r.momentum * v + g;
  w -= r.rate * (o.nesterov ? g + r.momentum * v : v);
}

void adam(const Optimizer& o, const Rates& r, double g, double& w, double& m, double& v) {
  const double beta1 = o.beta1;
  const double beta2 = o.beta2;
  if (o.kind == OptimizerKind::adamw) {
    w *= 1 - r.rate * r.decay;
  } else {
    g += r.decay * w;
  }
  m = beta1 * m + (1 - beta1) * g;
  v = beta2 * v + (1 - beta2) * g * g;
  const double m_hat = m / (1 - std::pow(beta1, r.t));
  const double v_hat = v / (1 - std::pow(beta2, r.t));
  w -= r.rate * m_hat / (std::sqrt(v_hat) + static_cast<double>(o.epsilon));
}

void adadelta(const Optimizer& o, const Rates& r, double g, double& w, double& square, double& delta) {
  const double rho = o.rho;
  const double epsilon = o.epsilon;
  g += r.decay * w;
  square = rho * square + (1 - rho) * g * g;
  const double move = std::sqrt((delta + epsilon) / (square + epsilon)) * g;
  delta = rho * delta + (1 - rho) * move * move;
  w -= r.rate * move;
}

}  // namespace

std::vector<StepImages> first_steps(const Batching& batching, std::uint64_t seed, std::size_t steps) {
  std::vector<StepImages> all;
  StepImages open;
  for (std::uint64_t pass = 0; all.size() < steps; ++pass) {
    for (const std::uint32_t image : pass_order(batching, seed, pass)) {
      if (open.images.empty()) open.epoch = pass;
      open.images.push_back(image);
      if (open.images.size() == batching.batch) all.push_back(std::exchange(open, {}));
    }
    if (batching.last_batch == LastBatch::mask && !open.images.empty()) {
      all.push_back(std::exchange(open, {}));
    }
    if (batching.last_batch == LastBatch::drop) open = {};
  }
  all.resize(steps);
  return all;
}

void standardise(Values& x, std::size_t size) {
  for (auto image = x.begin(); image != x.end(); image += static_cast<std::ptrdiff_t>(size)) {
    const auto end = image + static_cast<std::ptrdiff_t>(size);
    const double mean = std::accumulate(image, end, 0.0) / static_cast<double>(size);
    double variance = 0;
    for (auto at = image; at != end; ++at)
      variance += (*at - mean) * (*at - mean) / static_cast<double>(size);
    const double deviation = std::max(std::sqrt(variance), 1 / std::sqrt(static_cast<double>(size)));
    for (auto at = image; at != end; ++at) *at = (*at - mean) / deviation;
  }
}

void clip(Values& dw, double limit) {
  double squares = 0;
  for (const double g : dw) squares += g * g;
  if (squares <= limit * limit) return;
  for (double& g : dw) g *= limit / std::sqrt(squares);
}

double learning_rate(const Schedule& s, std::uint64_t step, std::uint64_t epoch) {
  const double rate = s.rate;
  const auto now = static_cast<double>(step);
  switch (s.kind) {
    case ScheduleKind::constant:
      return rate;
    case ScheduleKind::steps:
      return rate * value_at(s.pieces, epoch);
    case ScheduleKind::exponential:
      return rate * std::pow(static_cast<double>(s.decay), static_cast<double>(epoch));
    case ScheduleKind::inverse:
      return rate / std::pow(1 + static_cast<double>(s.gamma) * now, static_cast<double>(s.power));
    case ScheduleKind::one_cycle:
      return one_cycle(s, now);
    case ScheduleKind::cosine: {
      const double lowest = rate * s.end;
      return lowest + (rate - lowest) * (1 + std::cos(kPi * now / static_cast<double>(s.steps))) / 2;
    }
    case ScheduleKind::linear: {
      const double u = (now + 0.5) / static_cast<double>(s.steps);
      const double up = s.warmup;
      return u < up ? rate * (s.start + (1 - s.start) * u / up)
                    : rate * (s.end + (1 - s.end) * (1 - u) / (1 - up));
    }
  }
  return 0;
}

void update(const Optimizer& optimizer, const Schedule& schedule, const std::vector<Segment>& segments,
            std::uint64_t step, std::uint64_t epoch, const Values& dw, Learner& learner) {
  for (const Segment& s : segments) {
    const Rates r{reference::learning_rate(schedule, step, epoch) * s.rate_factor, s.decay,
                  value_at(optimizer.momentum, epoch), static_cast<double>(step + 1)};
    for (std::size_t i = s.offset; i < s.offset + s.count; ++i) {
      switch (optimizer.kind) {
        case OptimizerKind::sgd:
          sgd(optimizer, r, dw[i], learner.w[i], learner.slot0[i]);
          break;
        case OptimizerKind::adam:
        case OptimizerKind::adamw:
          adam(optimizer, r, dw[i], learner.w[i], learner.slot0[i], learner.slot1[i]);
          break;
        case OptimizerKind::adadelta:
          adadelta(optimizer, r, dw[i], learner.w[i], learner.slot0[i], learner.slot1[i]);
          break;
        case OptimizerKind::muon:
          break;  // update_matrix
      }
    }
  }
}

namespace {

// a [m, k] times b [k, n]
Values times(const Values& a, const Values& b, int m, int k, int n) {
  Values c(static_cast<std::size_t>(m) * n, 0);
  for (int i = 0; i < m; ++i) {
    for (int l = 0; l < k; ++l) {
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return c;
}

Values transposed(const Values& a, int rows, int columns) {
  Values t(a.size());
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

}  // namespace

Values newton_schulz(Values u, int rows, int columns, int iterations) {
  if (rows > columns)
    return transposed(newton_schulz(transposed(u, rows, columns), columns, rows, iterations), columns, rows);
  double squares = 0;
  for (const double value : u) squares += value * value;
  for (double& value : u) value /= std::sqrt(squares) + 1e-7;
  for (int i = 0; i < iterations; ++i) {
    const Values a = times(u, transposed(u, rows, columns), rows, columns, rows);
    Values b = times(a, a, rows, rows, rows);
    for (std::size_t j = 0; j < a.size(); ++j) b[j] = -4.7750 * a[j] + 2.0315 * b[j];
    const Values turned = times(b, u, rows, rows, columns);
    for (std::size_t j = 0; j < u.size(); ++j) u[j] = 3.4445 * u[j] + turned[j];
  }
  return u;
}

void update_matrix(const Optimizer& optimizer, const Schedule& schedule, const Matrix& matrix,
                   std::uint64_t step, std::uint64_t epoch, const Values& dw, Learner& learner) {
  const double rate = reference::learning_rate(schedule, step, epoch) * matrix.rate_factor;
  const double momentum = value_at(optimizer.momentum, epoch);
  Values u = dw;
  for (std::size_t i = 0; i < u.size(); ++i) {
    learner.slot0[i] = momentum * learner.slot0[i] + dw[i];
    u[i] = dw[i] + momentum * learner.slot0[i];
  }
  const Values x = newton_schulz(u, matrix.rows, matrix.columns, optimizer.iterations);
  const double factor = std::sqrt(std::max(1.0, static_cast<double>(matrix.rows) / matrix.columns));
  for (std::size_t i = 0; i < x.size(); ++i)
    learner.w[i] -= rate * (matrix.decay * learner.w[i] + factor * x[i]);
}

}  // namespace trainer::reference
