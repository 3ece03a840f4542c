// The plans of the shipped networks: published counts and FLOPs, and what is printed against golden files.
// TRAINER_UPDATE_GOLDEN=1 writes those anew.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/plan.hpp"
#include "tests/models/spec_text.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::test {

namespace {

// To three decimals, as published.
double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

void expect_golden(const std::string& text, const std::string& name) {
  const std::string path = std::string(TRAINER_SOURCE_DIR "/tests/golden/") + name;
  if (std::getenv("TRAINER_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  EXPECT_EQ(text, read_text(path)) << path;
}

}  // namespace

struct Published {
  const char* name;
  std::uint64_t parameters;
  double forward_megaflop;
  double training_megaflop;
  double epoch_teraflop;  // 60,000 images
};

class PlanPublished : public ::testing::TestWithParam<Published> {};

TEST_P(PlanPublished, CountsAndFlopsAreThePublishedOnes) {
  const Published& published = GetParam();
  const Spec spec = shipped(published.name);
  const Plan plan = make_plan(spec, kMnist);
  EXPECT_EQ(plan.parameters, published.parameters);
  EXPECT_EQ(spec.parameters, static_cast<std::int64_t>(published.parameters));
  EXPECT_DOUBLE_EQ(rounded(static_cast<double>(plan.forward_flops) / 1e6), published.forward_megaflop);
  EXPECT_DOUBLE_EQ(rounded(static_cast<double>(plan.training_flops) / 1e6), published.training_megaflop);
  EXPECT_DOUBLE_EQ(rounded(static_cast<double>(plan.training_flops) * 60000 / 1e12),
                   published.epoch_teraflop);
}

INSTANTIATE_TEST_SUITE_P(Shipped, PlanPublished,
                         ::testing::Values(Published{"accurate", 436010, 28.778, 85.946, 5.157},
                                           Published{"accurate-small", 81306, 6.260, 18.488, 1.109},
                                           Published{"quick", 215194, 2.488, 6.774, 0.406},
                                           Published{"lenet", 431080, 4.586, 13.182, 0.791},
                                           Published{"tf-sample", 3274634, 27.768, 82.049, 4.923},
                                           Published{"cntk-sample", 478410, 0.955, 2.238, 0.134},
                                           Published{"cntk-convnet", 98778, 5.210, 14.376, 0.863},
                                           Published{"tf-convolutional", 1663370, 24.546, 72.385, 4.343},
                                           Published{"pytorch-example", 1199882, 23.985, 71.565, 4.294},
                                           Published{"sprint", 120538, 0.890, 2.504, 0.150},
                                           Published{"sprint-lean", 16370, 0.251, 0.655, 0.039},
                                           Published{"sprint-lean-views", 16370, 0.251, 0.655, 0.039},
                                           Published{"sprint-995", 63834, 0.806, 2.222, 0.133}),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class PlanOfEvery : public ::testing::TestWithParam<const char*> {};

TEST_P(PlanOfEvery, TableIsTheGoldenOneAndFitsAHundredColumns) {
  const Spec spec = shipped(GetParam());
  const std::string table = plan_table(make_plan(spec, kMnist), spec);
  expect_golden(table, std::string(GetParam()) + ".txt");
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << '"' << line << '"';
  }
  EXPECT_EQ(table.back(), '\n');
}

TEST_P(PlanOfEvery, JsonIsTheGoldenOneAndAddsUp) {
  const Spec spec = shipped(GetParam());
  const Plan plan = make_plan(spec, kMnist);
  const std::string text = plan_json(plan, spec).dump(2) + "\n";
  nlohmann::ordered_json printed = plan_json(plan, spec);
  printed["file"] = file_json(spec);
  if (spec.name == "quick" || spec.name == "tf-convolutional")
    expect_golden(printed.dump(2) + "\n", spec.name + ".json");
  const auto json = nlohmann::json::parse(text);
  std::uint64_t parameters = 0;
  std::uint64_t flops = 0;
  std::uint64_t bytes = std::uint64_t{4} * 64 * plan.shown.size();
  for (const auto& layer : json.at("layers")) {
    parameters += layer.at("parameters").get<std::uint64_t>();
    flops += layer.at("forward_flops").get<std::uint64_t>() + layer.at("backward_flops").get<std::uint64_t>();
    bytes += layer.at("activation_bytes").get<std::uint64_t>();
  }
  EXPECT_EQ(json.at("parameters"), parameters);
  EXPECT_EQ(json.at("training_flops"), flops);
  EXPECT_EQ(json.at("activation_bytes"), bytes);
  EXPECT_EQ(json.at("recipe").at("batch"), spec.recipe.batch);
  const Spec again = parse_spec(file_json(spec).dump(), spec.name);  // JSON is YAML
  EXPECT_EQ(plan_json(make_plan(again, kMnist), again).dump(2) + "\n", text);
  std::uint64_t in_ops = 0;
  for (const auto& op : json.at("ops")) {
    for (const auto& parameter : op.at("parameters")) {
      if (parameter.at("name").get<std::string>().find(".running_") != std::string::npos) continue;
      std::uint64_t count = 1;
      for (const auto& extent : parameter.at("shape")) count *= extent.get<std::uint64_t>();
      in_ops += count;
    }
  }
  EXPECT_EQ(in_ops, plan.parameters);
}

TEST_P(PlanOfEvery, FitsOtherImagesAndClasses) {
  const Spec spec = shipped(GetParam());
  for (const PlanInput& input : {PlanInput{{32, 32, 3}, 47, 1}, PlanInput{{64, 48, 4}, 2, 7}}) {
    const Plan plan = make_plan(spec, input);
    const auto head = std::get<HeadDesc>(plan.ops.back().desc);
    EXPECT_EQ(head.classes, input.classes);
    EXPECT_EQ(in_shape(plan.ops.front().desc).size(), plan.shown.size());
    for (std::size_t i = 1; i < plan.ops.size(); ++i) {
      EXPECT_EQ(in_shape(plan.ops[i].desc).size(), out_shape(plan.ops[i - 1].desc).size())
          << plan.ops[i].name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, PlanOfEvery, ::testing::ValuesIn(kShipped), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace trainer::test
