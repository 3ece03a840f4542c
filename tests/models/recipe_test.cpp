// Recipes: every shipped one word by word against models of the field, and the errors of wrong ones.
#include <gtest/gtest.h>

#include "tests/models/spec_text.hpp"

namespace trainer::test {

namespace {

std::string optimizer_error(const std::string& optimizer) {
  return error_of(
      spec_text(kPlainLayers, "  optimizer: " + optimizer + "\n  rate: 0.1\n  batch: 8\n  epochs: 1\n"));
}

}  // namespace

TEST(Recipe, Quick) {
  const Recipe r = shipped("quick").recipe;
  EXPECT_EQ(r.input.scale, 1.0 / 255);
  EXPECT_EQ(r.input.mean, 0.1307);
  EXPECT_EQ(r.input.deviation, 0.3081);
  EXPECT_EQ(r.weights.kind, Initializer::uniform_fan_in);
  EXPECT_EQ(r.biases.kind, Initializer::uniform_fan_in);
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::adam);
  EXPECT_EQ(r.optimizer.beta1, 0.7F);
  EXPECT_EQ(r.optimizer.beta2, 0.9F);
  EXPECT_EQ(r.optimizer.epsilon, 1e-8F);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::one_cycle);
  EXPECT_EQ(r.schedule.rate, 0.01F);
  EXPECT_EQ(r.schedule.warmup, 0.3F);
  EXPECT_EQ(r.schedule.start_divisor, 25);
  EXPECT_EQ(r.schedule.end_divisor, 1e4F);
  EXPECT_EQ(r.weight_decay, 0);
  EXPECT_EQ(r.batch, 256);
  EXPECT_EQ(r.epochs, 2);
  EXPECT_EQ(r.order, Order::shuffled);
  EXPECT_EQ(r.last_batch, LastBatch::mask);
}

TEST(Recipe, Lenet) {
  const Recipe r = shipped("lenet").recipe;
  EXPECT_EQ(r.input.scale, 1.0 / 256);
  EXPECT_EQ(r.input.mean, 0);
  EXPECT_EQ(r.weights.kind, Initializer::xavier_uniform);
  EXPECT_EQ(r.biases.kind, Initializer::zeros);
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::sgd);
  EXPECT_EQ(r.optimizer.momentum.count, 1);
  EXPECT_EQ(r.optimizer.momentum.value[0], 0.9F);
  EXPECT_FALSE(r.optimizer.nesterov);
  EXPECT_FALSE(r.optimizer.dampening);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::inverse);
  EXPECT_EQ(r.schedule.rate, 0.01F);
  EXPECT_EQ(r.schedule.gamma, 1e-4F);
  EXPECT_EQ(r.schedule.power, 0.75F);
  EXPECT_EQ(r.bias_rate_factor, 2);
  EXPECT_EQ(r.weight_decay, 5e-4);
  EXPECT_TRUE(r.decay_biases);
  EXPECT_FALSE(r.decay_dense_only);
  EXPECT_EQ(r.batch, 64);
  EXPECT_EQ(r.steps, 10000);
  EXPECT_FALSE(r.epochs.has_value());
  EXPECT_EQ(r.order, Order::fixed);
  EXPECT_EQ(r.last_batch, LastBatch::wrap);
  EXPECT_EQ(r.hold_out_first, 0);
}

TEST(Recipe, TfSample) {
  const Recipe r = shipped("tf-sample").recipe;
  EXPECT_EQ(r.input.scale, 1.0 / 255);
  EXPECT_EQ(r.input.mean, 0);
  EXPECT_EQ(r.input.deviation, 1);
  EXPECT_EQ(r.weights.kind, Initializer::normal);
  EXPECT_EQ(r.weights.deviation, 1);
  EXPECT_EQ(r.biases.kind, Initializer::normal);
  EXPECT_EQ(r.biases.deviation, 1);
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::adam);
  EXPECT_EQ(r.optimizer.beta1, 0.9F);
  EXPECT_EQ(r.optimizer.beta2, 0.999F);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::constant);
  EXPECT_EQ(r.schedule.rate, 1e-3F);
  EXPECT_EQ(r.batch, 128);
  int steps = 1;  // the sample's own loop: `step = 1; while step * 128 < 200000: ...; step += 1`
  while (steps * 128 < 200000) ++steps;
  EXPECT_EQ(r.steps, steps - 1);
  EXPECT_EQ(r.order, Order::shuffled);
  EXPECT_EQ(r.last_batch, LastBatch::wrap);
  EXPECT_EQ(r.hold_out_first, 5000);
  EXPECT_EQ(r.report_test_first, 256);
}

TEST(Recipe, CntkSample) {
  const Recipe r = shipped("cntk-sample").recipe;
  EXPECT_EQ(r.input.scale, 1.0 / 255);
  EXPECT_EQ(r.weights.kind, Initializer::glorot_uniform);
  EXPECT_EQ(r.biases.kind, Initializer::zeros);
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::sgd);
  EXPECT_EQ(optimizer_slots(r.optimizer), 0);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::constant);
  EXPECT_EQ(r.schedule.rate, 0.2F);
  EXPECT_EQ(r.batch, 64);
  EXPECT_EQ(r.steps, 10 * 60000 / 64);
  EXPECT_EQ(r.order, Order::shuffled);
  EXPECT_EQ(r.last_batch, LastBatch::wrap);
  EXPECT_EQ(r.report_test_first, 19 * 512);
}

TEST(Recipe, CntkConvnet) {
  const Recipe r = shipped("cntk-convnet").recipe;
  EXPECT_EQ(r.input.scale, 1.0 / 256);
  EXPECT_EQ(r.weights.kind, Initializer::glorot_uniform);
  EXPECT_EQ(r.biases.kind, Initializer::zeros);
  EXPECT_TRUE(r.optimizer.dampening);
  EXPECT_EQ(optimizer_slots(r.optimizer), 1);
  EXPECT_EQ(piece_at(r.optimizer.momentum, 0), 0);
  EXPECT_EQ(piece_at(r.optimizer.momentum, 4), 0);
  EXPECT_EQ(piece_at(r.optimizer.momentum, 5), 0.8825F);
  EXPECT_EQ(piece_at(r.optimizer.momentum, 39), 0.8825F);
  const double per_image[] = {0.001, 0.0005, 0.0001};
  for (const auto& [epoch, piece] : {std::pair{0, 0}, {9, 0}, {10, 1}, {19, 1}, {20, 2}, {39, 2}}) {
    EXPECT_FLOAT_EQ(learning_rate(r.schedule, 0, static_cast<std::uint64_t>(epoch)),
                    static_cast<float>(128 * per_image[piece]))
        << "epoch " << epoch;
  }
  EXPECT_EQ(r.batch, 128);
  EXPECT_EQ(r.epochs, 40);
  EXPECT_EQ(r.last_batch, LastBatch::mask);
}

TEST(Recipe, TfConvolutional) {
  const Spec spec = shipped("tf-convolutional");
  const Recipe& r = spec.recipe;
  EXPECT_DOUBLE_EQ((200 * r.input.scale - r.input.mean) / r.input.deviation, (200 - 127.5) / 255);
  EXPECT_EQ(r.weights.kind, Initializer::truncated_normal);
  EXPECT_EQ(r.weights.deviation, 0.1);
  EXPECT_EQ(r.biases.kind, Initializer::constant);
  EXPECT_EQ(r.biases.value, 0.1);
  EXPECT_EQ(spec.layers.front().biases.value().kind, Initializer::zeros);
  EXPECT_EQ(r.optimizer.momentum.value[0], 0.9F);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::exponential);
  EXPECT_EQ(r.schedule.decay, 0.95F);
  EXPECT_EQ(r.weight_decay, 5e-4);
  EXPECT_TRUE(r.decay_dense_only);
  EXPECT_TRUE(r.decay_biases);
  EXPECT_EQ(r.batch, 64);
  EXPECT_EQ(r.steps, 10 * 55000 / 64);
  EXPECT_EQ(r.order, Order::fixed);
  EXPECT_EQ(r.last_batch, LastBatch::wrap);
  EXPECT_EQ(r.hold_out_first, 5000);
}

TEST(Recipe, PytorchExample) {
  const Recipe r = shipped("pytorch-example").recipe;
  EXPECT_EQ(r.input.mean, 0.1307);
  EXPECT_EQ(r.input.deviation, 0.3081);
  EXPECT_EQ(r.weights.kind, Initializer::uniform_fan_in);
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::adadelta);
  EXPECT_EQ(r.optimizer.rho, 0.9F);
  EXPECT_EQ(r.optimizer.epsilon, 1e-6F);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::exponential);
  EXPECT_EQ(r.schedule.rate, 1);
  EXPECT_EQ(r.schedule.decay, 0.7F);
  EXPECT_EQ(r.batch, 64);
  EXPECT_EQ(r.epochs, 14);
  EXPECT_EQ(r.last_batch, LastBatch::mask);
}

TEST(Recipe, WhatIsLeftOutHasItsDefault) {
  const Recipe r = recipe_with(kPlainRecipe);
  EXPECT_EQ(r.input.scale, 1.0 / 255);
  EXPECT_FALSE(r.input.from_data);
  EXPECT_EQ(r.weights.kind, Initializer::uniform_fan_in);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::constant);
  EXPECT_EQ(r.bias_rate_factor, 1);
  EXPECT_EQ(r.order, Order::shuffled);
  EXPECT_EQ(r.last_batch, LastBatch::mask);
}

TEST(Recipe, ReadsOptimizersSchedulesAndOrders) {
  const Recipe r = recipe_with(
      "  input: {normalize: data}\n  optimizer: {sgd: {momentum: 0.5, nesterov: true}}\n  rate: 1/8\n"
      "  schedule: {cosine: {end: 0.01}}\n  weight_decay: {amount: 0.1, biases: false}\n  batch: 3\n"
      "  steps: 5000000000\n  last_batch: drop\n");
  EXPECT_TRUE(r.input.from_data);
  EXPECT_TRUE(r.optimizer.nesterov);
  EXPECT_EQ(r.schedule.rate, 0.125F);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::cosine);
  EXPECT_EQ(r.schedule.end, 0.01F);
  EXPECT_FALSE(r.decay_biases);
  EXPECT_FALSE(r.decay_dense_only);
  EXPECT_EQ(r.steps, 5000000000);
  EXPECT_EQ(r.last_batch, LastBatch::drop);
  const Recipe w = recipe_with(
      "  optimizer: {adamw: {beta1: 0.8}}\n  rate: 1\n  batch: 1\n  steps: 1\n  schedule: one_cycle\n");
  EXPECT_EQ(w.optimizer.kind, OptimizerKind::adamw);
  EXPECT_EQ(w.optimizer.beta1, 0.8F);
  EXPECT_EQ(w.optimizer.beta2, 0.999F);
  EXPECT_EQ(w.schedule.kind, ScheduleKind::one_cycle);
}

TEST(Recipe, AnOptimizerHasAName) {
  EXPECT_EQ(optimizer_named("adadelta").value().epsilon, 1e-6F);
  EXPECT_EQ(optimizer_named("adamw").value().kind, OptimizerKind::adamw);
  EXPECT_FALSE(optimizer_named("lion").has_value());
  EXPECT_STREQ(optimizer_word(OptimizerKind::sgd), "sgd");
}

TEST(Recipe, ItsLengthIsEitherEpochsOrSteps) {
  const std::string start = "  optimizer: sgd\n  rate: 0.1\n  batch: 8\n";
  EXPECT_EQ(error_of(spec_text(kPlainLayers, start)),
            "net.yaml:5:3: recipe needs its length: 'epochs' or 'steps'");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, start + "  epochs: 1\n  steps: 2\n")),
            "net.yaml:9:10: recipe: both 'epochs' and 'steps'; a run's length is one of them");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, start + "  epochs: 0\n")),
            "net.yaml:8:11: recipe: epochs must be a whole number from 1 to 1000000, not '0'");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, start + "  epochs: 3000000000\n")),
            "net.yaml:8:11: recipe: epochs must be a whole number from 1 to 1000000, not '3000000000'");
}

TEST(Recipe, MissingPartsAreNamed) {
  EXPECT_EQ(error_of(spec_text(kPlainLayers, "  rate: 1\n")), "net.yaml:5:3: recipe needs 'optimizer'");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, "  optimizer: sgd\n")), "net.yaml:5:3: recipe needs 'rate'");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, "  optimizer: sgd\n  rate: 1\n  epochs: 1\n")),
            "net.yaml:5:3: recipe needs 'batch'");
}

TEST(Recipe, WrongWordsAreAnsweredWithTheChoices) {
  EXPECT_EQ(recipe_error("order: shufled"),
            "net.yaml:8:10: recipe: unknown order 'shufled'; did you mean shuffled? one of fixed, shuffled");
  EXPECT_EQ(recipe_error("last_batch: maks"),
            "net.yaml:8:15: recipe: unknown last_batch 'maks'; did you mean mask? one of mask, drop, wrap");
  EXPECT_EQ(recipe_error("learning_rate: 1").find("net.yaml:8:3: recipe: unknown key 'learning_rate'"), 0U);
  EXPECT_EQ(
      recipe_error("schedule: cosin").find("net.yaml:8:13: unknown schedule 'cosin'; did you mean cosine?"),
      0U);
  EXPECT_EQ(optimizer_error("adm"),
            "net.yaml:5:14: unknown optimizer 'adm'; did you mean adam? one of sgd, adam, adamw, adadelta, "
            "muon");
  EXPECT_EQ(optimizer_error("{adam: {momentum: 0.9}}"),
            "net.yaml:5:22: adam: unknown key 'momentum'; one of beta1, beta2, epsilon");
}

TEST(Recipe, WrongNumbersAreRefused) {
  EXPECT_EQ(recipe_error("hold_out_first: -1"),
            "net.yaml:8:19: recipe: hold_out_first must be a whole number from 0 to 2147483647, not '-1'");
  EXPECT_EQ(
      recipe_error("bias_rate_factor: .inf").find("net.yaml:8:21: recipe: bias_rate_factor must be a number"),
      0U);
  EXPECT_EQ(recipe_error("views: 3"),
            "net.yaml:8:10: recipe: views must be 1 or 5: the image and its four shifts by a pixel");
  EXPECT_NE(recipe_error("views: 6"), "");
  EXPECT_NE(recipe_error("weight_decay: -1"), "");
  EXPECT_NE(recipe_error("weight_decay: {amount: 1, layers: conv}"), "");
  EXPECT_NE(recipe_error("weight_decay: {biases: false}"), "");
  EXPECT_NE(recipe_error("input: {deviation: 0}"), "");
  EXPECT_NE(recipe_error("input: {scale: 0}"), "");
  EXPECT_NE(recipe_error("schedule: {exponential: {decay: 1.5}}"), "");
  EXPECT_NE(recipe_error("schedule: exponential"), "");
  EXPECT_NE(recipe_error("schedule: {inverse: {gamma: 1}}"), "");
  EXPECT_NE(recipe_error("schedule: {one_cycle: {warmup: 2}}"), "");
  EXPECT_NE(recipe_error("schedule: {constant: 3}"), "");
  EXPECT_NE(optimizer_error("{adam: {beta1: 1}}"), "");
  EXPECT_NE(optimizer_error("{adam: {epsilon: 0}}"), "");
  EXPECT_NE(optimizer_error("{adadelta: {rho: -0.1}}"), "");
  EXPECT_NE(optimizer_error("{sgd: {momentum: 1}}"), "");
  EXPECT_EQ(optimizer_error("{sgd: {nesterov: true}}"), "net.yaml:5:15: sgd: nesterov needs 'momentum'");
  EXPECT_EQ(optimizer_error("{sgd: {momentum: 0, unit_gain: true}}"),
            "net.yaml:5:15: sgd: unit_gain needs 'momentum'");
  EXPECT_EQ(
      recipe_error("input: {normalize: data, mean: 0.5}"),
      "net.yaml:8:22: input: `normalize: data` stands without scale, mean and deviation, which follow from "
      "it");
}

TEST(Recipe, ValuesByEpochStartAtZeroAndGrow) {
  EXPECT_EQ(recipe_error("schedule: {steps: {1: 1}}"),
            "net.yaml:8:22: steps: an epoch must be a whole number from 0 to 0, not '1'");
  EXPECT_EQ(recipe_error("schedule: {steps: {0: 1, 5: 0.5, 5: 0.1}}"),
            "net.yaml:8:36: steps: an epoch must be a whole number from 6 to 1000000, not '5'");
  EXPECT_EQ(recipe_error("schedule: {steps: {}}"), "net.yaml:8:21: steps must have 1 to 8 epochs, not 0");
  EXPECT_EQ(recipe_error("schedule: {steps: {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}}"),
            "net.yaml:8:21: steps must have 1 to 8 epochs, not 9");
  EXPECT_EQ(recipe_error("schedule: {steps: 3}"),
            "net.yaml:8:21: steps must be a map of epochs, like {0: 1, 10: 0.5}");
  EXPECT_EQ(recipe_error("schedule: steps"), "net.yaml:8:13: steps needs its epochs, like {0: 1, 10: 0.5}");
  EXPECT_NE(
      optimizer_error("{sgd: {momentum: {0: 0.5, 2: 1}}}").find("momentum from epoch 2 must be a number"),
      std::string::npos);
}

}  // namespace trainer::test
