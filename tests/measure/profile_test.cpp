// A profile has every op and nothing twice, its trace is what the viewers read, and the training that follows
// it ends with the bits that it has without.
#include "trainer/train/profile.hpp"

#include "tests/support/program.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

class ProfileOfASmallNetwork : public testing::Test {
 protected:
  Profile profile() {
    const ResidentData data(*backend_, setup_);
    return profile_training(setup_, *backend_, data, [] { return false; });
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_ = make_cpu_backend({1});
  trainer::Setup setup_ = make_setup(parse_spec(small_network({.dropout_and_batchnorm = true}), "small.yaml"),
                                     {}, data::load_dataset(write_small_data(folder_)));
};

TEST_F(ProfileOfASmallNetwork, HasEveryOpInTheStepsOrder) {
  const Profile p = profile();
  std::vector<std::string> expected{"gather "};
  const std::vector<PlannedOp>& ops = setup_.plan.ops;
  for (const PlannedOp& op : ops) expected.push_back(op.name + " forward");
  for (auto op = ops.rbegin(); op != ops.rend(); ++op) expected.push_back(op->name + " backward");
  expected.emplace_back("update ");
  std::vector<std::string> found;
  std::uint64_t flops = 0;
  for (const ProfiledPart& part : p.parts) {
    found.push_back(part.name + " " + part.direction);
    flops += part.flops;
    EXPECT_GT(part.seconds, 0) << found.back();
    EXPECT_GT(part.bytes, 0U) << found.back();
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(flops, setup_.plan.training_flops * 16);
  EXPECT_EQ(p.events.size(), p.parts.size() * p.steps);
  EXPECT_GT(p.step_seconds, 0);
  const std::string table = profile_table(p);
  for (const PlannedOp& op : ops) EXPECT_PRED2(contains, table, op.name + " ");
}

TEST_F(ProfileOfASmallNetwork, BecomesATraceOfEventsThatDoNotOverlap) {
  const Profile p = profile();
  const Json trace = Json::parse(chrome_trace(p).dump());
  double end = 0;
  std::map<std::string, int> times;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "M") continue;
    ASSERT_EQ(event["ph"], "X");
    EXPECT_GE(event["ts"].get<double>(), end);
    EXPECT_GT(event["dur"].get<double>(), 0);
    end = event["ts"].get<double>() + event["dur"].get<double>() - 1e-6;
    ++times[event["name"]];
  }
  EXPECT_EQ(times.size(), p.parts.size());
  for (const auto& [name, count] : times) EXPECT_EQ(count, 5) << name;
}

TEST_F(ProfileOfASmallNetwork, EndsSoonWhenItIsAskedTo) {
  const ResidentData data(*backend_, setup_);
  const Profile p = profile_training(setup_, *backend_, data, [] { return true; });
  EXPECT_EQ(p.steps, 1U);
}

struct Watcher final : StepObserver {
  int open = 0;
  int parts = 0;
  void before(const StepPart& /*part*/) override { EXPECT_EQ(open++, 0); }
  void after(const StepPart& /*part*/) override {
    --open;
    ++parts;
  }
};

TEST_F(ProfileOfASmallNetwork, AnObserverChangesNothingInTheStep) {
  const ResidentData data(*backend_, setup_);
  std::vector<std::vector<float>> ends;
  Watcher watcher;
  for (StepObserver* observer : {static_cast<StepObserver*>(nullptr), static_cast<StepObserver*>(&watcher)}) {
    Network network(setup_.plan, *backend_, Purpose::training, setup_.rule.optimizers);
    network.initialize(1);
    for (int i = 0; i < 3; ++i) network.train_step(data.train_input(setup_.train), setup_.rule, observer);
    ends.push_back(state_of(network));
  }
  EXPECT_EQ(ends[0], ends[1]);
  EXPECT_EQ(watcher.parts, 3 * (2 + 2 * static_cast<int>(setup_.plan.ops.size())));
}

using ProfileOption = ProgramTest;

TEST_F(ProfileOption, LeavesTheTrainingsBitsAlone) {
  write_network({.dropout_and_batchnorm = true});
  const Outcome plain = trainer(small_training({"--out", "plain"}));
  ASSERT_EQ(plain.code, 0) << plain.err;
  const Outcome profiled = trainer(small_training({"--out", "profiled", "--profile", "trace.json"}));
  ASSERT_EQ(profiled.code, 0) << profiled.err;
  EXPECT_PRED2(contains, profiled.out, "conv1      forward");
  EXPECT_PRED2(contains, profiled.out, "trace.json");
  expect_same_tensors(folder_ / "plain/model.safetensors", folder_ / "profiled/model.safetensors");
  EXPECT_TRUE(Json::accept(read_text(folder_ / "trace.json")));
}

TEST_F(ProfileOption, IsOneMoreValueInJson) {
  const Outcome outcome = trainer(small_training({"--no-save", "--json", "--profile", "trace.json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> values = json_lines(outcome.out);
  ASSERT_EQ(values.size(), 5U);
  EXPECT_EQ(values[1]["event"], "profile");
  EXPECT_EQ(values[1]["parts"][1]["name"], "conv1");
}

TEST_F(ProfileOption, NamesTheFileThatCannotBeWritten) {
  const Outcome outcome = trainer(small_training({"--no-save", "--profile", "missing/trace.json"}));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "missing/trace.json");
}

}  // namespace
}  // namespace trainer::test
