// The GPU engine's kernels of several blocks at the sizes of the shipped networks, in every precision. They give the
// same bits each time, whichever block comes first, and agree, within the suite's tolerance, with the result of as few
// blocks as possible.
#include <gtest/gtest.h>

#include "models/lower.hpp"
#include "tests/kernels/op_repeats.hpp"
#include "tests/kernels/tolerance.hpp"

namespace trainer::test {
namespace {

struct PreparedSpec {
  Spec spec;
  LoweredPlan lowered;
};

PreparedSpec prepared(const std::string& name, const Backend& backend) {
  PreparedSpec p;
  p.spec = find_spec(name, models_folder());
  p.lowered = lower(make_plan(p.spec, {{28, 28, 1}, 10, batch_of(p.spec.recipe.batch)}), backend);
  return p;
}

struct KernelCase {
  std::string name;
  OpDesc desc;
  int batch;
  bool wants_dx;
};

// A head's batch on an emulated device. It is larger than what the head's blocks on one multiprocessor process at a
// time, so that a grid for 16 multiprocessors divides the work differently than a grid for one.
constexpr int kEmulatedHeadBatch = 200;

int batch_for(const OpDesc& desc, int batch) {
  return kEmulated && std::holds_alternative<HeadDesc>(desc) ? kEmulatedHeadBatch : batch;
}

// Together the networks use every kernel of several blocks except a separate normalise().
constexpr const char* kNetworks[] = {"sprint", "sprint-lean", "quick"};

std::vector<KernelCase> kernel_cases(const Backend& backend) {
  std::vector<KernelCase> cases;
  for (const char* name : kNetworks) {
    const PreparedSpec p = prepared(name, backend);
    for (std::size_t i = 0; i < p.lowered.ops.size(); ++i) {
      const std::string op = fmt::format("{}.{}", name, p.lowered.plan.ops[i].name);
      const int batch = batch_for(p.lowered.ops[i], p.lowered.plan.input.batch);
      cases.push_back({op, p.lowered.ops[i], batch, p.lowered.plan.ops[i].wants_dx});
      if (const auto* desc = std::get_if<NormalisedDesc>(&p.lowered.ops[i]))
        cases.push_back({op + ".norm", desc->norm, p.lowered.plan.input.batch, true});
    }
  }
  return cases;
}

class KernelBits : public OnManyBlocks, public testing::WithParamInterface<BackendKind> {
 protected:
  void SetUp() override {
    OnManyBlocks::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) backend_ = make_backend(GetParam());
  }
  std::string name_of(const std::string& name) const {
    return fmt::format("{}/{}", name, backend_name(GetParam()));
  }

  // The backend with the fewest multiprocessors that still makes the same op.
  std::unique_ptr<Backend> few_blocks(const KernelCase& c) const {
    for (unsigned multiprocessors = 1;; multiprocessors *= 2) {
      auto backend =
          make_cuda_backend({.precision = precision_of(GetParam()), .multiprocessors = multiprocessors});
      const auto* normalised = std::get_if<NormalisedDesc>(&c.desc);
      if (normalised == nullptr || backend->fuses(*normalised, c.batch, c.wants_dx)) return backend;
    }
  }

  std::unique_ptr<Backend> backend_;
};

void expect_near(const std::vector<Result>& got, const std::vector<Result>& want, Tolerance tolerance) {
  tolerance.zeros = 1;  // at a pool's input most of a gradient is zero
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::vector<float> few = want[i].floats();
    EXPECT_TRUE(near(got[i].floats(), {few.begin(), few.end()}, tolerance)) << "array " << i;
  }
}

TEST_P(KernelBits, AnOpLeavesTheSameBitsEachTime) {
  for (const KernelCase& c : kernel_cases(*backend_)) {
    OpRepeats op(*backend_, c.desc, c.batch, c.wants_dx);
    expect_same_bits_each_time(name_of(c.name), [&](int set) {
      op.run(set);
      Bytes bytes = bytes_of(op.results());
      const StepState state = op.state();
      append(bytes, std::vector<double>{state.loss_sum, static_cast<double>(state.batch_loss)});
      append(bytes, std::vector<std::uint64_t>{state.correct, state.images});
      return bytes;
    });
  }
}

TEST_P(KernelBits, AnUpdateLeavesTheSameBitsEachTime) {
  for (const char* name : kNetworks) {
    if (is_left_out(name, GetParam())) continue;
    const PreparedSpec p = prepared(name, *backend_);
    UpdateRepeats update(*backend_, p.lowered.plan, p.lowered.ops, p.spec.recipe);
    expect_same_bits_each_time(name_of(fmt::format("{}.update", name)), [&](int set) {
      update.run(set);
      return bytes_of(update.results());
    });
  }
}

TEST_P(KernelBits, AnOpOfFewBlocksComesToTheSame) {
  for (const KernelCase& c : kernel_cases(*backend_)) {
    SCOPED_TRACE(c.name);
    const auto few = few_blocks(c);
    OpRepeats want(*few, c.desc, c.batch, c.wants_dx);
    OpRepeats got(*backend_, c.desc, c.batch, c.wants_dx);
    want.run(0);
    got.run(0);
    // The sums of a weight's gradient and of a batch's statistics, one after the other.
    const Shape in = in_shape(c.desc);
    const double rows = static_cast<double>(c.batch) * in.h * in.w;
    expect_near(got.results(), want.results(),
                {.precision = precision_of(GetParam()), .length = 2 * rows + static_cast<double>(in.size())});
    const double loss = want.state().loss_sum;
    EXPECT_NEAR(got.state().loss_sum, loss, 1e-5 * std::abs(loss));
  }
}

TEST_P(KernelBits, AnUpdateOfOneBlockComesToTheSame) {
  const auto one = make_cuda_backend({.precision = precision_of(GetParam()), .multiprocessors = 1});
  for (const char* name : kNetworks) {
    SCOPED_TRACE(name);
    if (is_left_out(name, GetParam())) continue;
    const PreparedSpec p = prepared(name, *backend_);
    UpdateRepeats got(*backend_, p.lowered.plan, p.lowered.ops, p.spec.recipe);
    const PreparedSpec alone = prepared(name, *one);
    UpdateRepeats want(*one, alone.lowered.plan, alone.lowered.ops, p.spec.recipe);
    want.run(0);
    got.run(0);
    const bool whole = precision_of(GetParam()) == Precision::fp32;
    expect_near(got.results(), want.results(),
                {.precision = whole ? Precision::fp32 : Precision::tf32, .length = got.length()});
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, KernelBits, testing::ValuesIn(gpu_kinds()),
                         [](const auto& info) { return backend_name(info.param); });

}  // namespace
}  // namespace trainer::test
