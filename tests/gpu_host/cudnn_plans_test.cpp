// Plans every convolution of every shipped network, and those of the conformance suite, with cuDNN for every
// architecture that the program is built for, on a machine without a GPU. cuDNN keeps what it learns of the
// first device it plans for, so the program starts itself once an architecture, as
//   cudnn_plans_test --plan ARCHITECTURE
// which prints one line a plan: "plan ENGINE DETERMINISTIC TENSOR_CORE WORKSPACE KEPT PRECISION WHAT" or
// "none WHY".
#include <cstdlib>
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <iostream>
#include <sstream>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn/cudnn_plan.hpp"
#include "models/lower.hpp"
#include "models/plan.hpp"
#include "models/spec.hpp"
#include "tests/gpu_host/described_gpus.hpp"
#include "tests/kernels/conformance_cases.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/temporary_folder.hpp"

// Where the toolkit keeps the stand-in for the driver's library.
#ifndef TRAINER_DRIVER_STUBS
#define TRAINER_DRIVER_STUBS "/usr/local/cuda/lib64/stubs"
#endif

namespace trainer::cuda {

namespace {

using test::ChildProcess;
using test::DescribedGpu;
using test::Outcome;

struct Wanted {
  std::string what;
  LayerShape shape;
  Pass pass = Pass::forward;
};

using Precisions = std::vector<Precision>;

void add_passes(std::vector<Wanted>& all, const std::string& what, const ConvDesc& d, int batch,
                bool wants_dx, const Precisions& precisions) {
  LayerShape shape{batch, d.in, d.out, d.kernel, d.stride, d.pad, Precision::fp32, wants_dx};
  for (const Precision precision : precisions) {
    shape.precision = precision;
    all.push_back({what, shape, Pass::forward});
    all.push_back({what, shape, Pass::filter_gradient});
    if (wants_dx) all.push_back({what, shape, Pass::data_gradient});
  }
}

std::vector<Wanted> shipped() {
  std::vector<Wanted> all;
  for (const Spec& spec : all_specs(TRAINER_SOURCE_DIR "/models")) {
    const trainer::Plan plan = make_plan(spec, {{28, 28, 1}, 10, spec.recipe.batch});
    const LoweredPlan padded = pad_channels(plan, 8);  // as the engine does for maps of 16 bits
    for (std::size_t i = 0; i < plan.ops.size(); ++i) {
      const PlannedOp& op = plan.ops[i];
      const auto* desc = std::get_if<ConvDesc>(&op.desc);
      if (desc == nullptr) continue;
      const std::string what = spec.name + " " + op.name;
      add_passes(all, what, *desc, spec.recipe.batch, op.wants_dx, {Precision::fp32, Precision::tf32});
      add_passes(all, what, std::get<ConvDesc>(padded.ops[i]), spec.recipe.batch, op.wants_dx,
                 {Precision::fp16, Precision::bf16});
    }
  }
  return all;
}

// In what takes a moment to plan: engines for 16 bits are often compiled at run time.
std::vector<Wanted> of_the_conformance_suite() {
  std::vector<Wanted> all;
  for (const OpCase& c : conv_cases()) {
    if (const auto* desc = std::get_if<ConvDesc>(&c.desc))
      add_passes(all, c.name, *desc, c.batch, true, {Precision::fp32, Precision::tf32});
  }
  return all;
}

// What is planned on `architecture`; TF32 and bf16 came with sm_80.
std::vector<Wanted> wanted_on(int architecture) {
  std::vector<Wanted> all = shipped();
  for (Wanted& odd : of_the_conformance_suite()) all.push_back(std::move(odd));
  if (architecture >= 80) return all;
  std::erase_if(all, [](const Wanted& w) {
    return w.shape.precision == Precision::tf32 || w.shape.precision == Precision::bf16;
  });
  return all;
}

// "kept": the plan's own text gives it back.
bool same_when_read_back(const PassPlan& plan, const PlanTarget& target) {
  const std::optional<PassPlan> again = plan_of(plan_text(plan), target);
  return again && again->choice.engine == plan.choice.engine &&
         again->choice.workspace == plan.choice.workspace;
}

#if CUDNN_VERSION >= 91100
int print_plans(const DescribedGpu& gpu) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set_all<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, test::properties_json(gpu));
  properties.finalize();
  const PlanTarget target{nullptr, &properties};
  for (const Wanted& w : wanted_on(gpu.architecture)) {
    try {
      const PassPlan plan = choose_plan(w.shape, w.pass, {}, target);
      const PlanChoice& c = plan.choice;
      const PlanRules frugal{.deterministic = true, .workspace_bound = 0};
      const bool compiled = c.runtime_compiled;  // a second each time
      const std::size_t least =
          compiled ? c.workspace : choose_plan(w.shape, w.pass, frugal, target).choice.workspace;
      std::cout << fmt::format("plan {} {:d} {:d} {} {} {:d} {} {} {}\n", c.engine, c.deterministic,
                               c.tensor_core, c.workspace, least, same_when_read_back(plan, target),
                               precision_name(w.shape.precision), w.what, describe(w.shape, w.pass));
    } catch (const BackendError& error) {
      std::cout << "none " << w.what << ": " << error.what() << "\n";
    }
  }
  return 0;
}
#else
int print_plans(const DescribedGpu& /*gpu*/) {
  return 1;
}
#endif

// A folder with libcuda.so.1 -> the toolkit's stand-in, first on the library path of this process' children,
// where there is no driver: engines that are compiled at run time ask for that library. Gone with the object.
class DriverStandIn {
 public:
  DriverStandIn() {
    const std::filesystem::path stub = std::filesystem::path(TRAINER_DRIVER_STUBS) / "libcuda.so";
    if (void* driver = dlopen("libcuda.so.1", RTLD_LAZY)) {
      dlclose(driver);
    } else if (std::filesystem::exists(stub)) {
      std::filesystem::create_symlink(stub, folder_ / "libcuda.so.1");
    }
    const char* before = std::getenv("LD_LIBRARY_PATH");
    had_path_ = before != nullptr;
    path_ = had_path_ ? before : "";
    setenv("LD_LIBRARY_PATH", (folder_.path().string() + (had_path_ ? ":" + path_ : "")).c_str(), 1);
  }
  DriverStandIn(const DriverStandIn&) = delete;
  DriverStandIn& operator=(const DriverStandIn&) = delete;
  ~DriverStandIn() {
    if (had_path_) {
      setenv("LD_LIBRARY_PATH", path_.c_str(), 1);
    } else {
      unsetenv("LD_LIBRARY_PATH");
    }
  }

 private:
  test::TemporaryFolder folder_;
  bool had_path_ = false;
  std::string path_;
};

struct PrintedPlan {
  PlanChoice choice;
  std::size_t least = 0;
  bool kept = false;
  std::string precision;
  std::string what;
};

struct Printed {
  std::vector<PrintedPlan> plans;
  std::vector<std::string> other_lines;
};

Printed plans_on(const DescribedGpu& gpu) {
  const DriverStandIn stand_in;
  ChildProcess child({"/proc/self/exe", "--plan", std::to_string(gpu.architecture)});
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  Printed printed;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    PrintedPlan p;
    words >> kind >> p.choice.engine >> p.choice.deterministic >> p.choice.tensor_core >>
        p.choice.workspace >> p.least >> p.kept >> p.precision;
    std::getline(words, p.what);
    if (kind == "plan" && !words.fail()) {
      printed.plans.push_back(p);
    } else {
      printed.other_lines.push_back(line);
    }
  }
  return printed;
}

}  // namespace

class CudnnPlans : public testing::TestWithParam<DescribedGpu> {
 protected:
  void SetUp() override {
    if (CUDNN_VERSION < 91100 || cudnnGetVersion() < 91100) {
      GTEST_SKIP() << "cuDNN " << convolutions_version()
                   << " plans for devices that are present only; 9.11 plans for others";
    }
  }
};

TEST_P(CudnnPlans, ExistForEveryConvolutionDeterministicAndWithinBounds) {
  const Printed printed = plans_on(GetParam());
  for (const std::string& line : printed.other_lines) ADD_FAILURE() << line;
  EXPECT_EQ(printed.plans.size(), wanted_on(GetParam().architecture).size());
  int on_tensor_cores = 0;
  int frugal = 0;
  for (const PrintedPlan& p : printed.plans) {
    EXPECT_TRUE(p.choice.deterministic) << p.what;
    EXPECT_LE(p.choice.workspace, kWorkspaceBound) << p.what;
    EXPECT_TRUE(p.precision != "fp32" || !p.choice.tensor_core) << p.what;
    EXPECT_TRUE(p.kept) << "not the same when read back from its text: " << p.what;
    EXPECT_LE(p.least, p.choice.workspace) << p.what;
    frugal += p.least < p.choice.workspace ? 1 : 0;
    on_tensor_cores += p.choice.tensor_core ? 1 : 0;
  }
  EXPECT_GT(frugal, 0) << "a bound on the workspace changes nothing";
  EXPECT_GT(on_tensor_cores, 0);
}

INSTANTIATE_TEST_SUITE_P(On, CudnnPlans, testing::ValuesIn(test::kDescribedGpus),
                         [](const auto& of) { return fmt::format("sm_{}", of.param.architecture); });

TEST(CudnnPlansOfTheShippedNetworks, CoverEveryPassButTheFirstLayersDataGradient) {
  const std::vector<Wanted> all = shipped();
  EXPECT_EQ(all.size(),
            300U);  // 29 convolutions, 17 of them after others: (29 + 29 + 17) passes in four precisions
  for (const Wanted& w : all) EXPECT_TRUE(w.pass != Pass::data_gradient || w.shape.in.c > 1) << w.what;
}

TEST(CudnnPlanErrors, NameTheShapeAndThePass) {
  const LayerShape shape{64, {7, 5, 3}, 4, 3, 2, {1, 0, 2, 1}, Precision::tf32, true};
  EXPECT_EQ(describe(shape, Pass::filter_gradient),
            "filter gradient of convolution 3x3x4 on 64 x 7x5x3, stride 2, border 1 0 2 1, tf32");
}

}  // namespace trainer::cuda

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--plan") {
    for (const auto& gpu : trainer::test::kDescribedGpus) {
      if (std::to_string(gpu.architecture) != argv[2]) continue;
      const int code = trainer::cuda::print_plans(gpu);
      std::cout.flush();
      std::_Exit(code);  // what the library leaves behind is no leak of ours
    }
    return 2;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
