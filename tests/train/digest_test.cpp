// The first steps of every shipped network with portable bits, against the digests that the program knows: which recipe or
// arithmetic has changed. scripts/write_digests.sh writes the table anew.
#include "trainer/train/digest.hpp"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <ostream>
#include <set>

#include "kernels/portable/known_digests.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// In the names of tests.
void PrintTo(const KnownDigest& row, std::ostream* out) {
  *out << row.network;
}

namespace {

constexpr int kBatch = 16;

const data::Dataset& mnist() {
  static const data::Dataset dataset = data::load_dataset(TRAINER_SOURCE_DIR "/data/mnist");
  return dataset;
}

// After `row.steps` steps, as the program's options make them; nothing is evaluated.
std::string digest_on(Backend& backend, const KnownDigest& row) {
  TrainSettings settings;
  settings.seed = row.seed;
  settings.epochs = 1;
  settings.batch = kBatch;
  settings.limit_train = kBatch * row.steps;
  settings.subset = kSpread;
  settings.precision = "fp32";
  settings.bits = "portable";
  const Setup setup = make_setup(read_spec(fmt::format("{}/models/{}.yaml", TRAINER_SOURCE_DIR, row.network)),
                                 settings, mnist());
  EXPECT_EQ(setup.total_steps, static_cast<std::uint64_t>(row.steps));
  Network network(setup.plan, backend, Purpose::training, setup.rule.optimizers);
  network.initialize(row.seed);
  StepState state;
  state.seed = row.seed;
  network.write_training_state(state);
  const ResidentData data(backend, setup);
  const StepInput input = data.train_input(setup.train);
  for (int step = 0; step < row.steps; ++step) network.train_step(input, setup.rule);
  backend.wait();
  return digest_of(network);
}

std::vector<KnownDigest> short_rows() {
  std::vector<KnownDigest> rows(known_digests().begin(), known_digests().end());
  std::erase_if(rows, [](const KnownDigest& row) { return row.steps == 0; });
  return rows;
}

std::string test_name(const testing::TestParamInfo<KnownDigest>& info) {
  std::string name(info.param.network);
  std::ranges::replace(name, '-', '_');
  return name;
}

class ShippedNetwork : public testing::TestWithParam<KnownDigest> {};

TEST_P(ShippedNetwork, MeetsItsDigest) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2, .bits = Bits::portable});
  EXPECT_EQ(digest_on(*backend, GetParam()), GetParam().digest)
      << GetParam().network
      << ": its recipe or the portable arithmetic has changed; if that was meant, run "
         "scripts/write_digests.sh";
}

TEST_P(ShippedNetwork, MeetsItsDigestOnAGpu) {
  const GpuAvailability gpu = gpu_availability();
  if (!gpu.usable) GTEST_SKIP() << "no GPU: " << gpu.reason;
#if defined(__SANITIZE_ADDRESS__)
  if (GetParam().network != "sprint-lean") GTEST_SKIP() << "too slow here";
#endif
  const std::unique_ptr<Backend> backend = make_cuda_backend({.bits = Bits::portable});
  EXPECT_EQ(digest_on(*backend, GetParam()), GetParam().digest) << GetParam().network;
}

INSTANTIATE_TEST_SUITE_P(All, ShippedNetwork, testing::ValuesIn(short_rows()), test_name);

TEST(KnownDigests, AreOfEveryShippedNetworkAndOfWholeSprints) {
  std::set<std::string> left;
  for (const auto& file : std::filesystem::directory_iterator(TRAINER_SOURCE_DIR "/models"))
    if (file.path().extension() == ".yaml") left.insert(file.path().stem());
  std::set<std::string> whole;
  for (const KnownDigest& row : known_digests()) {
    EXPECT_EQ(row.digest.size(), 64U);
    left.erase(std::string(row.network));
    if (row.steps == 0) whole.insert(fmt::format("{} {}", row.network, row.seed));
  }
  EXPECT_TRUE(left.empty()) << "no row in kernels/portable/digests.yaml for " << *left.begin();
  EXPECT_EQ(whole, (std::set<std::string>{"sprint 1", "sprint 2", "sprint 3", "sprint-lean 1",
                                          "sprint-lean 2", "sprint-lean 3"}));
}

}  // namespace
}  // namespace trainer
