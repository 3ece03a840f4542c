// Every op of every backend against the reference: forward and backward in training, forward in inference,
// the same bits twice, and the promises of the op contract (op_trial.hpp).
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <tuple>

#include "tests/kernels/conformance_inputs.hpp"
#include "tests/kernels/op_trial.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

using reference::Tensors;
using reference::Values;

// How many terms an element of each result sums, and what fraction of the result is expected to be zero.
struct Expectation {
  double y_length = 1;
  double dx_length = 1;
  double dw_length = 1;
  double y_zeros = 0.3;
  double dx_zeros = 0.3;
};

struct Expect {
  const Tensors& t;

  // For an op that sums nothing and makes few zeros.
  template <typename Desc>
  Expectation operator()(const Desc& /*desc*/) const {
    return {};
  }
  Expectation operator()(const ConvDesc& d) const {
    const double filter = d.kernel * d.kernel;
    const Shape map = conv_map(d);
    const double y_zeros = !d.relu ? 0.3 : d.pool ? 0.5 : 0.8;
    return {filter * d.in.c + 1, filter * d.out, static_cast<double>(t.valid) * map.h * map.w, y_zeros, 0.3};
  }
  Expectation operator()(const DenseDesc& d) const {
    return {d.in + 1.0, static_cast<double>(d.out), static_cast<double>(t.valid), d.relu ? 0.8 : 0.3, 0.3};
  }
  // The gradient starts from logits, which have the error of their own sum.
  Expectation operator()(const HeadDesc& d) const {
    return {d.in + 1.0, d.in + 1.0 + d.classes, d.in + 1.0 + t.valid, 0.3, 0.3};
  }
  Expectation operator()(const MaxPoolDesc& d) const {
    return {1, static_cast<double>(d.window.size), 1, 0.3, d.window.size > 1 ? 0.9 : 0.3};
  }
  Expectation operator()(const AvgPoolDesc& d) const {
    const double area = d.window.size * d.window.size;
    return {area, area, 1, 0.3, 0.4};
  }
  Expectation operator()(const ReluDesc&) const { return {1, 1, 1, 0.8, 0.8}; }
  Expectation operator()(const GeluDesc&) const { return {4, 8, 1, 0.3, 0.3}; }
  Expectation operator()(const DropoutDesc& d) const {
    const double zeros = std::min(0.97, d.drop + 0.2);
    return {1, 1, 1, zeros, zeros};
  }
  // Mean and variance are sums over the batch, and everything depends on them.
  Expectation operator()(const BatchNormDesc& d) const {
    const double rows = static_cast<double>(t.valid) * d.in.h * d.in.w;
    return {rows, rows, rows, 0.3, 0.3};
  }
  Expectation operator()(const NormalisedDesc& d) const {
    const Expectation product = std::visit(*this, d.product);
    const Expectation norm = (*this)(d.norm);
    return {product.y_length + norm.y_length, product.dx_length + norm.dx_length,
            product.dw_length + norm.dw_length, product.y_zeros, product.dx_zeros};
  }
};

// Rows whose label is, within rounding, as large as the largest other logit: they may count as correct answers or not.
std::uint64_t undecided_rows(const HeadDesc& d, const Tensors& t) {
  std::uint64_t rows = 0;
  for (int n = 0; n < t.valid; ++n) {
    const double* row = &t.y[static_cast<std::size_t>(n) * d.classes];
    const int label = t.labels[static_cast<std::size_t>(n)];
    double rival = -INFINITY;
    for (int k = 0; k < d.classes; ++k) rival = k == label ? rival : std::max(rival, row[k]);
    if (std::abs(rival - row[label]) < 1e-4) ++rows;
  }
  return rows;
}

// Only the head adds to the sums, and nothing changes the rest.
void expect_state(const OpDesc& desc, const Tensors& want, const StepState& got, const Tolerance& tolerance) {
  EXPECT_EQ(got.step, want.step);
  EXPECT_EQ(got.seed, want.seed);
  EXPECT_EQ(got.valid, static_cast<std::uint32_t>(want.valid));
  EXPECT_EQ(got.first_bad_step, kNoBadStep);
  const auto* head = std::get_if<HeadDesc>(&desc);
  if (head == nullptr) {
    EXPECT_EQ(got.batch_loss, kBatchLossBefore);
    EXPECT_EQ(got.loss_sum, kLossSumBefore);
    EXPECT_EQ(got.correct, kCorrectBefore);
    EXPECT_EQ(got.images, kImagesBefore);
    return;
  }
  EXPECT_TRUE(near({got.batch_loss}, {kBatchLossBefore + want.loss}, tolerance)) << "batch_loss";
  EXPECT_TRUE(near({static_cast<float>(got.loss_sum)}, {kLossSumBefore + want.loss}, tolerance))
      << "loss_sum";
  const auto apart = static_cast<double>(undecided_rows(*head, want));
  EXPECT_NEAR(static_cast<double>(got.correct), static_cast<double>(kCorrectBefore + want.correct), apart);
  EXPECT_EQ(got.images, kImagesBefore + static_cast<std::uint64_t>(want.valid));
}

void expect_no_faults(const OpResult& got) {
  for (const std::string& fault : got.faults) ADD_FAILURE() << fault;
}

Expectation expectation(const OpCase& c, const Tensors& t) {
  Expectation e = std::visit(Expect{t}, c.desc);
  if (c.zeros > 0) e.y_zeros = e.dx_zeros = c.zeros;
  return e;
}

void expect_forward(const OpCase& c, Precision precision, const Tensors& want, const OpResult& got) {
  const Expectation e = expectation(c, want);
  Tolerance tolerance{
      .precision = precision, .length = e.y_length, .term = largest(want.x), .zeros = e.y_zeros};
  if (!want.parameters.empty()) tolerance.term *= largest(want.parameters[0]);
  tolerance.counted = want.valid * out_shape(c.desc).size();
  EXPECT_TRUE(near(got.y, want.y, tolerance)) << "y";
  for (std::size_t i = 0; i < got.running.size(); ++i) {
    const Tolerance sums{.precision = has_product(c.desc) ? precision : Precision::fp32,
                         .length = e.y_length,
                         .term = largest(want.x)};
    const std::size_t first = want.parameters.size() - got.running.size();
    EXPECT_TRUE(near(got.running[i], want.parameters[first + i], sums))
        << (i == 0 ? "running mean" : "running variance");
  }
  expect_state(c.desc, want, got.state,
               Tolerance{.length = e.y_length + want.valid, .term = largest(want.y)});
}

void expect_backward(const OpCase& c, Precision precision, const Tensors& want, const OpResult& got) {
  const Expectation e = expectation(c, want);
  const bool head = std::holds_alternative<HeadDesc>(c.desc);
  const double slope = head ? 1.0 / want.valid : largest(want.dy);
  Tolerance tolerance{.precision = precision, .length = e.dx_length, .term = slope, .zeros = e.dx_zeros};
  if (!want.parameters.empty()) tolerance.term *= largest(want.parameters[0]);
  tolerance.counted = want.valid * in_shape(c.desc).size();
  const auto dx = got.dx.empty() ? testing::AssertionSuccess() : near(got.dx, want.dx, tolerance);
  EXPECT_TRUE(dx) << "dx";
  ASSERT_EQ(got.gradients.size(), want.gradients.size());
  for (std::size_t i = 0; i < got.gradients.size(); ++i) {
    const bool of_x = i == 0 && got.gradients.size() > 1;  // a weight or gamma, not a lone bias or beta
    const double term = of_x ? slope * largest(want.x) : slope;
    const Tolerance sums{
        .precision = precision, .length = e.dw_length, .term = term, .zeros = std::max(0.3, c.zeros)};
    EXPECT_TRUE(near(got.gradients[i], want.gradients[i], sums)) << (i == 0 ? "dw" : "db");
  }
}

// A backend without such an op says so and refuses it.
bool is_refused(Backend& backend, const OpCase& c, bool wants_dx) {
  const auto* fused = std::get_if<NormalisedDesc>(&c.desc);
  if (fused == nullptr || backend.fuses(*fused, c.batch, wants_dx)) return false;
  EXPECT_THROW(backend.prepare(c.desc, c.batch, wants_dx), BackendError);
  return true;
}

// Checks with and without dx, since a first layer may use an entirely different kernel.
void check_training(Backend& backend, const OpCase& c, Precision precision = Precision::fp32) {
  const Tensors want = reference_of(c, Mode::training, precision);
  const Tensors inputs = inputs_of(c, precision, want);
  for (const bool wants_dx : {true, false}) {
    if (is_refused(backend, c, wants_dx)) continue;
    SCOPED_TRACE(describe(c.desc) + (wants_dx ? "" : ", without dx"));
    const OpResult got = run_op(backend, c.desc, inputs, wants_dx);
    expect_no_faults(got);
    expect_forward(c, precision, want, got);
    expect_backward(c, precision, want, got);
    EXPECT_TRUE(got.same_bits(run_op(backend, c.desc, inputs, wants_dx))) << "other bits the second time";
  }
}

void check_inference(Backend& backend, const OpCase& c, Precision precision = Precision::fp32) {
  const Tensors want = reference_of(c, Mode::inference, precision);
  for (const bool wants_dx : {true, false}) {
    if (is_refused(backend, c, wants_dx)) continue;
    SCOPED_TRACE(describe(c.desc) + (wants_dx ? "" : ", without dx"));
    const OpResult got = run_op(backend, c.desc, inputs_of(c, precision, want), wants_dx);
    expect_no_faults(got);
    expect_forward(c, precision, want, got);
  }
}

std::vector<OpCase> all_cases() {
  std::vector<OpCase> all = network_cases();
  for (const auto& more :
       {sprint_cases(), normalised_cases(), small_products(), conv_cases(), element_cases(), plain_cases()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

// For backends that round: just enough cases to show that rounding is the only difference. Grids are exact everywhere.
std::vector<OpCase> small_cases() {
  std::vector<OpCase> all = all_cases();
  std::erase_if(all, [](const OpCase& c) { return c.batch > 16 || c.kind == SampleKind::grid; });
  return all;
}

using CaseParam = std::tuple<BackendKind, OpCase>;

std::string case_name(const testing::TestParamInfo<CaseParam>& info) {
  return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
}

class Conformance : public OnBackend, public testing::WithParamInterface<CaseParam> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
};

TEST_P(Conformance, TrainingMatchesTheReference) {
  check_training(backend(), std::get<1>(GetParam()), precision_of(std::get<0>(GetParam())));
}

TEST_P(Conformance, InferenceMatchesTheReference) {
  check_inference(backend(), std::get<1>(GetParam()), precision_of(std::get<0>(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Ops, Conformance,
                         testing::Combine(testing::ValuesIn(tested_backends()),
                                          testing::ValuesIn(all_cases())),
                         case_name);

INSTANTIATE_TEST_SUITE_P(Rounded, Conformance,
                         testing::Combine(testing::ValuesIn(rounding_backends()),
                                          testing::ValuesIn(small_cases())),
                         case_name);

// Without this, the cases above would prove nothing.
TEST(RoundedProducts, AreRoundedWhereThatIsAskedFor) {
  for (const BackendKind kind : rounding_backends()) {
    const auto backend = make_backend(kind);
    for (const OpDesc& desc : {OpDesc(dense(1024, 64)), OpDesc(conv({8, 8, 48}, 3, 16))}) {
      const OpCase c{"rounded", desc, 16};
      const Tensors want = reference_of(c, Mode::training);
      const OpResult got = run_op(*backend, desc, inputs_of(c, Precision::fp32, want), true);
      const Tolerance exact{.length = 1024, .term = largest(want.x)};
      const Tolerance rounded{.precision = precision_of(kind), .length = 1024, .term = largest(want.x)};
      EXPECT_FALSE(near(got.y, want.y, exact)) << backend_name(kind) << ": " << describe(desc);
      EXPECT_TRUE(near(got.y, want.y, rounded)) << backend_name(kind) << ": " << describe(desc);
    }
  }
}

using LayerParam = std::tuple<BackendKind, FirstLayer>;

std::string layer_name(const testing::TestParamInfo<LayerParam>& info) {
  const FirstLayer& layer = std::get<1>(info.param);
  return fmt::format("{}_{}x{}_{}_pool_{}_{}", backend_name(std::get<0>(info.param)), layer.kernel,
                     layer.kernel, layer.same ? "same" : "valid", layer.pool.size, layer.pool.stride);
}

class FirstLayers : public OnBackend, public testing::WithParamInterface<LayerParam> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
};

TEST_P(FirstLayers, MatchTheReferenceForEveryNumberOfChannels) {
  for (const OpCase& c : first_layer_cases(std::get<1>(GetParam()))) {
    SCOPED_TRACE(c.name);
    const Precision precision = precision_of(std::get<0>(GetParam()));
    check_training(backend(), c, precision);
    check_inference(backend(), c, precision);
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, FirstLayers,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(first_layers())),
                         layer_name);

}  // namespace
}  // namespace trainer
