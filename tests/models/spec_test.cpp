// Layers from YAML: what is read, and what every kind of wrong file is told.
#include "models/spec.hpp"

#include <gtest/gtest.h>
#include <random>

#include "tests/models/spec_text.hpp"

namespace trainer::test {

namespace {

// The error of a network whose only wrong line is this layer, in line 3.
std::string layer_error(const std::string& layer) {
  return error_of(spec_text("  - " + layer + "\n" + kPlainLayers));
}

}  // namespace

TEST(Spec, ReadsEveryLayerWithItsSettings) {
  const Spec spec = spec_with_layers(
      "  - conv: {out: 4, kernel: 3, stride: 2, padding: 1, bias: false, weights: {normal: 0.5}}\n"
      "  - batchnorm: {epsilon: 1e-3, momentum: 0.2}\n"
      "  - relu\n"
      "  - conv: {out: 5, kernel: 2, padding: same, biases: {constant: 0.1}}\n"
      "  - maxpool: {size: 3, stride: 2}\n"
      "  - avgpool: {size: 2}\n"
      "  - dropout: {drop: 0.25}\n"
      "  - dense: {out: 7}\n"
      "  - dense: {out: classes, bias: false}\n");
  ASSERT_EQ(spec.layers.size(), 9U);
  const LayerSpec& conv = spec.layers[0];
  EXPECT_EQ(conv.kind, LayerKind::conv);
  EXPECT_EQ(conv.out, 4);
  EXPECT_EQ(conv.kernel, 3);
  EXPECT_EQ(conv.stride, 2);
  EXPECT_EQ(conv.padding.kind, Padding::Kind::number);
  EXPECT_EQ(conv.padding.number, 1);
  EXPECT_FALSE(conv.bias);
  EXPECT_EQ(conv.weights.value().kind, Initializer::normal);
  EXPECT_EQ(conv.weights.value().deviation, 0.5);
  EXPECT_FALSE(conv.biases.has_value());
  EXPECT_EQ(conv.place.text(), "net.yaml:3:5");
  EXPECT_EQ(spec.layers[1].epsilon, 1e-3);
  EXPECT_EQ(spec.layers[1].momentum, 0.2);
  EXPECT_EQ(spec.layers[2].kind, LayerKind::relu);
  EXPECT_EQ(spec.layers[3].padding.kind, Padding::Kind::same);
  EXPECT_EQ(spec.layers[3].stride, 1);
  EXPECT_TRUE(spec.layers[3].bias);
  EXPECT_EQ(spec.layers[3].biases.value().value, 0.1);
  EXPECT_EQ(spec.layers[4].stride, 2);
  EXPECT_EQ(spec.layers[5].stride, 2) << "the stride of a pool is its size by default";
  EXPECT_EQ(spec.layers[6].drop, 0.25);
  EXPECT_EQ(spec.layers[7].out, 7);
  EXPECT_EQ(spec.layers[8].out, 0) << "0 stands for the data set's classes";
  EXPECT_FALSE(spec.layers[8].bias);
}

TEST(Spec, ALeakyReluHasASlope) {
  const Spec spec =
      spec_with_layers("  - leaky_relu\n  - leaky_relu: {slope: 0.2}\n  - dense: {out: classes}\n");
  EXPECT_EQ(spec.layers[0].slope, 0.01);
  EXPECT_EQ(spec.layers[1].slope, 0.2);
  const Plan plan = make_plan(spec, {{2, 3, 1}, 4, 5});
  EXPECT_EQ(plan.layers[1].text, "leaky_relu 0.2");
  EXPECT_EQ(std::get<LeakyReluDesc>(plan.ops[1].desc).slope, 0.2F);
  EXPECT_EQ(layer_error("leaky_relu: {slope: 1.5}"),
            "net.yaml:3:25: leaky_relu: slope must be a number at least 0 and at most 1, not '1.5'");
}

TEST(Spec, KeepsItsTextAndParsesItBack) {
  const Spec spec = shipped("tf-convolutional");
  const Spec again = parse_spec(spec.text, "checkpoint");
  EXPECT_EQ(again.layers.size(), spec.layers.size());
  EXPECT_EQ(again.parameters, spec.parameters);
  EXPECT_EQ(again.recipe.steps, spec.recipe.steps);
  EXPECT_EQ(again.text, spec.text);
}

TEST(Spec, AnUnknownLayerIsAnsweredWithPlaceChoicesAndTheNearestWord) {
  EXPECT_EQ(layer_error("covn: {out: 4, kernel: 3}"),
            "net.yaml:3:5: unknown layer 'covn'; did you mean conv? one of conv, maxpool, avgpool, dense, "
            "relu, gelu, leaky_relu, dropout, batchnorm, residual");
  EXPECT_EQ(layer_error("transformer"),
            "net.yaml:3:5: unknown layer 'transformer'; one of conv, maxpool, avgpool, dense, relu, gelu, "
            "leaky_relu, dropout, batchnorm, residual");
}

TEST(Spec, AnUnknownKeyIsAnsweredWithPlaceChoicesAndTheNearestWord) {
  EXPECT_EQ(
      layer_error("conv: {out: 4, kernal: 3}"),
      "net.yaml:3:20: conv: unknown key 'kernal'; did you mean kernel? one of out, kernel, stride, padding, "
      "bias, weights, biases");
  EXPECT_EQ(error_of("nane: x\n"),
            "net.yaml:1:1: a network: unknown key 'nane'; did you mean name? one of name, about, source, "
            "parameters, layers, recipe");
}

TEST(Spec, WrongNumbersAreRefusedWithTheirRange) {
  EXPECT_EQ(layer_error("conv: {out: twelve, kernel: 3}"),
            "net.yaml:3:17: conv: out must be a whole number from 1 to 65536, not 'twelve'");
  EXPECT_EQ(layer_error("conv: {out: 4, kernel: 0}"),
            "net.yaml:3:28: conv: kernel must be a whole number from 1 to 4096, not '0'");
  EXPECT_EQ(layer_error("conv: {out: -4, kernel: 3}"),
            "net.yaml:3:17: conv: out must be a whole number from 1 to 65536, not '-4'");
  for (const char* wrong : {"1.5", "4294967297", "99999999999999999999999", "0x10", "[1]", "{a: 1}", "''",
                            "~", "'3 '", "3 4", "+3", "nan"}) {
    EXPECT_NE(layer_error(std::string("maxpool: {size: ") + wrong + "}")
                  .find("maxpool: size must be a whole number from 1 to 4096, not "),
              std::string::npos)
        << wrong << ": " << layer_error(std::string("maxpool: {size: ") + wrong + "}");
  }
  EXPECT_EQ(layer_error("dropout: {drop: 1}"),
            "net.yaml:3:21: dropout: drop must be a number at least 0 and below 1, not '1'");
  for (const char* wrong : {"-0.1", "nan", ".nan", "inf", ".inf", "1e999", "0/0", "1/0", "1/", "half"}) {
    EXPECT_NE(
        layer_error(std::string("dropout: {drop: ") + wrong + "}").find("dropout: drop must be a number"),
        std::string::npos)
        << wrong;
  }
  EXPECT_EQ(layer_error("dropout: {drop: 0.99999999999}"), "net.yaml:3:5: dropout: drop rounds to 1");
  EXPECT_EQ(layer_error("conv: {out: 4, kernel: 3, bias: 1}"),
            "net.yaml:3:37: conv: bias must be true or false, not '1'");
}

TEST(Spec, WrongPaddingIsRefused) {
  EXPECT_EQ(layer_error("conv: {out: 4, kernel: 3, padding: sme}"),
            "net.yaml:3:40: conv: unknown padding 'sme'; did you mean same? one of same, valid, a number");
  EXPECT_EQ(layer_error("conv: {out: 4, kernel: 3, padding: 3}"),
            "net.yaml:3:40: conv: padding in numbers must be a whole number from 0 to 2, not '3'");
}

TEST(Spec, MissingAndSuperfluousSettingsAreNamed) {
  EXPECT_EQ(layer_error("conv: {kernel: 3}"), "net.yaml:3:5: conv needs 'out'");
  EXPECT_EQ(layer_error("conv"), "net.yaml:3:5: conv needs 'out'");
  EXPECT_EQ(layer_error("conv: {out: 3}"), "net.yaml:3:5: conv needs 'kernel'");
  EXPECT_EQ(layer_error("maxpool"), "net.yaml:3:5: maxpool needs 'size'");
  EXPECT_EQ(layer_error("dropout"), "net.yaml:3:5: dropout needs 'drop'");
  EXPECT_EQ(layer_error("relu: {slope: 1}"), "net.yaml:3:12: relu has no settings, not 'slope'");
  EXPECT_EQ(layer_error("relu: 3"), "net.yaml:3:11: relu must be alone; it has no settings, not '3'");
  EXPECT_EQ(layer_error("dense: {out: 4, bias: false, biases: zeros}"),
            "net.yaml:3:42: biases of a layer with `bias: false`");
  EXPECT_EQ(layer_error("conv: {out: 4, kernel: 3, out: 5}"),
            "net.yaml:3:31: conv: a second 'out'; the first is in line 3");
  EXPECT_EQ(
      layer_error("conv: 5"),
      "net.yaml:3:11: conv must be a map of out, kernel, stride, padding, bias, weights, biases, not '5'");
  EXPECT_EQ(layer_error("dense: {out: clases}"),
            "net.yaml:3:18: dense: out must be `classes` or a whole number from 1 to 65536, not 'clases'");
}

TEST(Spec, AWrongInitializerIsRefused) {
  EXPECT_EQ(layer_error("dense: {out: 4, weights: glorot}"),
            "net.yaml:3:30: dense: unknown weights 'glorot'; one of zeros, constant, uniform_fan_in, "
            "xavier_uniform, glorot_uniform, normal, truncated_normal");
  EXPECT_EQ(layer_error("dense: {out: 4, weights: normal}"),
            "net.yaml:3:30: dense: weights: normal needs a number, like {normal: 0.1}");
  EXPECT_EQ(layer_error("dense: {out: 4, weights: {zeros: 1}}"),
            "net.yaml:3:31: dense: weights: zeros has no settings");
  EXPECT_EQ(
      layer_error("dense: {out: 4, weights: {normal: 0}}").find("net.yaml:3:39: dense: weights: normal must"),
      0U);
}

TEST(Spec, FlattenIsRefusedWithTheReason) {
  EXPECT_EQ(layer_error("flatten"),
            "net.yaml:3:5: flatten is implied: dense takes any shape; leave this line out");
  EXPECT_EQ(layer_error("flatten: {}"),
            "net.yaml:3:5: flatten is implied: dense takes any shape; leave this line out");
}

TEST(Spec, ALayerIsOneWord) {
  EXPECT_EQ(layer_error("{relu: , dropout: {drop: 0.1}}"),
            "net.yaml:3:5: layer must be one word of conv, maxpool, avgpool, dense, relu, gelu, leaky_relu, "
            "dropout, batchnorm, residual, alone "
            "or with its settings in braces, not a map of 2 keys");
  EXPECT_NE(layer_error("[relu]").find("not a list"), std::string::npos);
  EXPECT_NE(layer_error("").find("not empty"), std::string::npos);
}

TEST(Spec, AFileWithoutItsPartsIsRefused) {
  EXPECT_EQ(error_of("name: a\n"), "net.yaml:1:1: a network needs 'layers'");
  EXPECT_EQ(error_of("name: a\nlayers: [relu]\n"), "net.yaml:1:1: a network needs 'recipe'");
  EXPECT_EQ(error_of("name: a\nlayers:\n"),
            "net.yaml:2:1: layers must be a list with a layer a line, each after a dash");
  EXPECT_EQ(error_of("name: a\nlayers: []\n"),
            "net.yaml:2:9: layers must be a list with a layer a line, each after a dash");
  EXPECT_EQ(
      error_of("- a\n- b\n"),
      "net.yaml:1:1: a network must be a map of name, about, source, parameters, layers, recipe, not a list");
  EXPECT_EQ(error_of(""), "net.yaml:1:1: the file is empty");
  EXPECT_EQ(error_of("# only words\n\n"), "net.yaml:1:1: the file is empty");
}

TEST(Spec, ANameThatIsNoFolderNameIsRefused) {
  for (const char* wrong : {"../x", "a b", "'a/b'", "-rf", ".hidden", "''", "ä"}) {
    const std::string error = error_of(std::string("name: ") + wrong + "\nlayers: [relu]\n");
    EXPECT_NE(error.find("net.yaml:1:7: name must be 1 to 64 letters"), std::string::npos)
        << wrong << ": " << error;
  }
  EXPECT_NE(error_of("name: " + std::string(65, 'a') + "\n").find("name must be"), std::string::npos);
  EXPECT_NE(error_of("name: a\nabout: \"red \\e[31m\"\n").find("without control characters, not 'red ?[31m'"),
            std::string::npos);
  EXPECT_NE(error_of("name: a\nabout: " + std::string(81, 'a') + "\n").find("at most 80 fit"),
            std::string::npos);
}

TEST(Spec, BrokenYamlIsRefusedWithItsPlace) {
  EXPECT_EQ(error_of("name: a\nlayers: [relu\n").find("net.yaml:"), 0U)
      << error_of("name: a\nlayers: [relu\n");
  EXPECT_NE(error_of("name: {\n").find(": not YAML: "), std::string::npos) << error_of("name: {\n");
  EXPECT_EQ(error_of("name: a\n\tlayers: b\n").find("net.yaml:"), 0U);
  EXPECT_EQ(error_of("name: \"a\n").find("net.yaml:"), 0U);
  for (const char* text :
       {"name: {\n", "a: b: c\n", "- - }\n", "%YAML 9\n--- a\n", "? [a]: b\n", "\"\\q\""}) {
    const std::string error = error_of(text);
    EXPECT_NE(error, "") << text;
    EXPECT_EQ(error.find("yaml-cpp"), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST(Spec, WhatASpecNeverNeedsIsRefused) {
  EXPECT_EQ(error_of("name: &n a\nabout: *n\n"), "net.yaml:1:7: anchors (&name) are not used here");
  EXPECT_NE(error_of("name: *n\n"), "");
  EXPECT_EQ(error_of("name: !!str a\n"), "net.yaml:1:7: tags ('tag:yaml.org,2002:str') are not used here");
  EXPECT_EQ(error_of(spec_text(kPlainLayers) + "---\nname: b\n").find("net.yaml:10:1: a second document"), 0U)
      << error_of(spec_text(kPlainLayers) + "---\nname: b\n");
  EXPECT_EQ(error_of("? [a, b]\n: c\n"), "net.yaml:1:3: a key must be a word");
  EXPECT_EQ(error_of(std::string("name: a\nabout: b\0c\n", 19)), "net.yaml:2:9: control character 0x00");
  EXPECT_EQ(error_of("name: a\x04\nlayers: b\n"), "net.yaml:1:8: control character 0x04");
  EXPECT_EQ(error_of("name: a\nabout: \xC3(\n"), "net.yaml:2:8: byte 0xc3 is not UTF-8");
  EXPECT_EQ(error_of("name: a\nabout: \xED\xA0\x80\n"), "net.yaml:2:8: byte 0xed is not UTF-8");
  EXPECT_EQ(error_of("name: a\nabout: \xE2\x82"), "net.yaml:2:8: byte 0xe2 is not UTF-8");
  for (const char* escape : {"\\N", "\\_"})
    EXPECT_EQ(error_of(std::string("name: a\nabout: \"b") + escape + "c\"\n"),
              "net.yaml:2:8: the escapes \\N and \\_ are not used here; write the character itself");
}

TEST(Spec, HostileSizesAreRefusedQuickly) {
  EXPECT_EQ(error_of(std::string(70000, 'a')),
            "net.yaml:1:1: 70000 bytes; a network's file has at most 65536");
  EXPECT_NE(error_of(std::string(60000, '[')), "");
  EXPECT_NE(error_of(std::string(60000, '{')), "");
  std::string nested;
  for (int i = 0; i < 10000; ++i) nested += "- ";
  EXPECT_EQ(error_of(nested), "net.yaml:1:25: nested deeper than 12 levels");
  std::string many;
  for (int i = 0; i < 257; ++i) many += "  - relu\n";
  EXPECT_EQ(error_of(spec_text(many)), "net.yaml:259:5: 257 layers; a network has at most 256");
}

TEST(Spec, NoChangedByteOfAFileDoesMoreThanAnError) {
  const std::string text = shipped("tf-convolutional").text;
  std::mt19937 random(7);
  int refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    std::string changed = text;
    for (int change = 0; change < 3; ++change) {
      const std::size_t at = random() % changed.size();
      if (random() % 2 == 0) {
        changed[at] = static_cast<char>(random() % 256);
      } else {
        changed.erase(at, random() % 8);
      }
    }
    const std::string error = error_of(changed);
    refused += error.empty() ? 0 : 1;
    ASSERT_TRUE(error.empty() || error.starts_with("net.yaml:")) << error;
    ASSERT_EQ(error.find('\n'), std::string::npos) << error;
  }
  EXPECT_GT(refused, 1000);
}

TEST(Spec, NamesThePrecisionsThatKeepTheRecipesAccuracy) {
  const Recipe recipe = recipe_with(kPlainRecipe + "  precisions: {cpu: [bf16], cuda: [bf16, tf32]}\n");
  EXPECT_EQ(recipe.precisions.cpu, std::vector{Precision::bf16});
  EXPECT_EQ(recipe.precisions.cuda, (std::vector{Precision::bf16, Precision::tf32}));
  const auto says = [](const std::string& precisions, const std::string& part) {
    const std::string error =
        error_of(spec_text(kPlainLayers, kPlainRecipe + "  precisions: " + precisions + "\n"));
    return error.find(part) != std::string::npos;
  };
  EXPECT_TRUE(says("{cuda: bf16}", "cuda must be a list, like [bf16]"));
  EXPECT_TRUE(says("{cuda: [bf61]}", "bf16"));
  EXPECT_TRUE(says("{cpu: [tf32]}", "bf16"));
  EXPECT_TRUE(says("{gpu: [tf32]}", "cuda"));
}

}  // namespace trainer::test
