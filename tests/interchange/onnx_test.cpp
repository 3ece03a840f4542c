// The file of `trainer export`, read back field by field (onnx.proto), and held against ONNX's own tools where they are there.
#include <cstring>
#include <set>

#include "tests/support/program.hpp"
#include "tests/support/protobuf_reader.hpp"
#include "trainer/system/version.hpp"

namespace trainer::test {
namespace {

constexpr const char* kEveryOp = TRAINER_SOURCE_DIR "/tests/interchange/every_op.yaml";

class Onnx : public ProgramTest {
 protected:
  void train_every_op(const std::string& model = kEveryOp) const {
    const Outcome trained = trainer(
        {"train", "--model", model, "--data", "data", "--threads", "1", "--out", "run", "--batch", "16"});
    ASSERT_EQ(trained.code, 0) << trained.err;
  }

  ReadProtobuf exported(const Words& more = {}) const {
    Words words{"export", "run", "-o", "model.onnx"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, at("model.onnx") + "\n");
    return ReadProtobuf(read_text(folder_ / "model.onnx"));
  }
};

std::vector<std::int64_t> integers(const std::vector<ProtobufField>& fields) {
  std::vector<std::int64_t> all;
  for (const ProtobufField& field : fields) all.push_back(field.integer());
  return all;
}

std::vector<float> floats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

ReadProtobuf named(const std::vector<ReadProtobuf>& messages, int name_field, const std::string& name) {
  for (const ReadProtobuf& message : messages)
    if (message.at(name_field).bytes == name) return message;
  ADD_FAILURE() << "no " << name;
  return ReadProtobuf("");
}

// "N" and numbers, of a ValueInfoProto.
Words dimensions(const ReadProtobuf& value) {
  Words all;
  for (const ReadProtobuf& one : value.message(2).message(1).message(2).messages(1))
    all.push_back(one.at(2).bytes.empty() ? std::to_string(one.at(1).integer()) : one.at(2).bytes);
  return all;
}

TEST_F(Onnx, EveryLayerIsANodeBetweenBytesAndProbabilities) {
  train_every_op();
  const ReadProtobuf graph = exported().message(7);
  Words kinds, names;
  std::set<std::string> known{"image"};
  for (const ReadProtobuf& tensor : graph.messages(5)) {
    EXPECT_TRUE(known.insert(tensor.at(8).bytes).second) << tensor.at(8).bytes;
    std::int64_t count = 1;
    for (const std::int64_t extent : integers(tensor.all(1))) count *= extent;
    const std::int64_t size = tensor.at(2).integer() == 1 ? 4 : 8;  // FLOAT, INT64
    EXPECT_EQ(static_cast<std::int64_t>(tensor.at(9).bytes.size()), count * size) << tensor.at(8).bytes;
  }
  for (const ReadProtobuf& node : graph.messages(1)) {
    for (const ProtobufField& input : node.all(1)) EXPECT_TRUE(known.contains(input.bytes)) << input.bytes;
    EXPECT_TRUE(known.insert(node.at(2).bytes).second) << node.at(2).bytes;
    kinds.push_back(node.at(4).bytes);
    if (node.at(3).bytes.find('.') == std::string::npos) names.push_back(node.at(3).bytes);
  }
  EXPECT_EQ(names,
            Words({"pixels",     "centre",     "scaled",       "normalised", "conv1",       "leaky_relu1",
                   "batchnorm1", "avgpool1",   "conv2",        "relu1",      "relu2",       "maxpool1",
                   "maxpool2",   "batchnorm2", "gelu1",        "conv3",      "residual1",   "gelu2",
                   "dense1",     "conv4",      "relu3",        "residual2",  "leaky_relu2", "conv5",
                   "gelu3",      "batchnorm3", "avgpool2",     "avgpool3",   "dense2",      "batchnorm4",
                   "relu4",      "dense3",     "probabilities"}));
  EXPECT_EQ(std::ranges::count(kinds, "Flatten"), 2);
  EXPECT_EQ(std::ranges::count(kinds, "GlobalAveragePool"), 1);
  EXPECT_EQ(std::ranges::count(kinds, "Reshape"), 2) << "of a vector, before conv4 and for residual2";
  EXPECT_EQ(std::ranges::count(kinds, "Sigmoid"), 3) << "one for each gelu";

  const ReadProtobuf image = graph.message(11), probabilities = graph.message(12);
  EXPECT_EQ(image.at(1).bytes, "image");
  EXPECT_EQ(image.message(2).message(1).at(1).integer(), 2) << "UINT8";
  EXPECT_EQ(dimensions(image), Words({"N", "1", "12", "12"}));
  EXPECT_EQ(probabilities.at(1).bytes, "probabilities");
  EXPECT_EQ(dimensions(probabilities), Words({"N", "4"}));
  EXPECT_EQ(dimensions(named(graph.messages(13), 1, "maxpool2")), Words({"N", "10", "2", "2"}));
  const auto inputs = [&](const char* name) {
    Words all;
    for (const ProtobufField& input : named(graph.messages(1), 3, name).all(1)) all.push_back(input.bytes);
    return all;
  };
  EXPECT_EQ(inputs("residual1"), Words({"conv3", "maxpool2"}));
  EXPECT_EQ(inputs("residual2"), Words({"relu3", "residual2.skip"}));
  EXPECT_EQ(inputs("residual2.skip"), Words({"dense1", "residual2.shape"}));
}

// A copy of the network that normalises each image by itself, with the same name.
std::string by_image() {
  std::string text = read_text(kEveryOp);
  const std::string before = "normalize: data";
  return text.replace(text.find(before), before.size(), "normalize: image");
}

TEST_F(Onnx, EachImageIsNormalisedByItself) {
  folder_.write("by_image.yaml", by_image());
  train_every_op("by_image.yaml");
  const ReadProtobuf graph = exported().message(7);
  const ReadProtobuf last = named(graph.messages(1), 3, "standardised");
  EXPECT_EQ(last.at(4).bytes, "Reshape");
  EXPECT_EQ(named(graph.messages(1), 3, "conv1").all(1).front().bytes, "standardised");
  EXPECT_EQ(floats(named(graph.messages(5), 8, "scale").at(9).bytes), std::vector<float>{1});
  EXPECT_EQ(floats(named(graph.messages(5), 8, "shift").at(9).bytes), std::vector<float>{0});
  EXPECT_EQ(floats(named(graph.messages(5), 8, "line.least").at(9).bytes), std::vector<float>{1 / 121.0F});
}

TEST_F(Onnx, AttributesAndWeightsAreThoseOfTheNetwork) {
  train_every_op();
  const ReadProtobuf graph = exported().message(7);
  const auto attribute = [&](const char* node, const char* name) {
    return named(named(graph.messages(1), 3, node).messages(5), 1, name);
  };
  using Integers = std::vector<std::int64_t>;
  EXPECT_EQ(integers(attribute("conv1", "kernel_shape").all(8)), Integers({4, 4}));
  EXPECT_EQ(integers(attribute("conv1", "strides").all(8)), Integers({2, 2}));
  EXPECT_EQ(integers(attribute("conv1", "pads").all(8)), Integers({1, 1, 2, 2}))
      << "11 to 6 by 4 at stride 2";
  EXPECT_EQ(integers(attribute("maxpool2", "strides").all(8)), Integers({2, 2}));
  EXPECT_EQ(attribute("leaky_relu1", "alpha").at(2).float32(), 0.2F);
  EXPECT_EQ(attribute("batchnorm1", "epsilon").at(2).float32(), 1e-3F);

  const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  const auto ours = [&](const char* name, std::vector<std::uint64_t> shape) {
    const auto bytes = file.require(name, shape);
    return floats({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  const auto theirs = [&](const char* name) { return floats(named(graph.messages(5), 8, name).at(9).bytes); };
  const std::vector<float> conv = ours("conv2.weight", {10, 3, 3, 6}), oihw = theirs("conv2.weight");
  for (std::size_t o = 0; o < 10; ++o)
    for (std::size_t p = 0; p < 9; ++p)
      for (std::size_t i = 0; i < 6; ++i) ASSERT_EQ(conv[(o * 9 + p) * 6 + i], oihw[(o * 6 + i) * 9 + p]);
  const std::vector<float> dense = ours("dense1.weight", {24, 40}), columns = theirs("dense1.weight");
  for (std::size_t o = 0; o < 24; ++o)
    for (std::size_t p = 0; p < 4; ++p)
      for (std::size_t i = 0; i < 10; ++i) ASSERT_EQ(dense[o * 40 + p * 10 + i], columns[o * 40 + i * 4 + p]);
  const std::vector<float> head = ours("dense3.bias", {4}), scaled = theirs("dense3.bias");
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(head[i] * 0.5F, scaled[i]) << "logit_scale";
  EXPECT_EQ(theirs("batchnorm4.weight"), std::vector<float>(20, 1)) << "no gain";
}

TEST_F(Onnx, TheModelSaysWhereItIsFrom) {
  train_every_op();
  const ReadProtobuf model = exported();
  EXPECT_EQ(model.at(1).integer(), 8);
  EXPECT_EQ(model.at(2).bytes, "mnist-trainer");
  EXPECT_EQ(model.at(3).bytes, kVersion);
  EXPECT_EQ(model.message(8).at(2).integer(), 17);
  EXPECT_EQ(model.message(7).at(2).bytes, "every-op");
  std::map<std::string, std::string> told;
  for (const ReadProtobuf& entry : model.messages(14)) told[entry.at(1).bytes] = entry.at(2).bytes;
  EXPECT_EQ(told["network"], "every-op");
  EXPECT_EQ(told["run"], "run");
  EXPECT_EQ(told["content_sha256"],
            SafetensorsFile::read(folder_ / "run/model.safetensors").text("content_sha256"));
  EXPECT_EQ(std::stod(told["test_accuracy"]), record("run").results["test"]["accuracy"].get<double>());
  // A file alone has no record.
  fs::rename(folder_ / "run/model.safetensors", folder_ / "alone.safetensors");
  ASSERT_EQ(trainer({"export", "alone.safetensors", "-o", "alone.onnx"}).code, 0);
  const std::string alone = read_text(folder_ / "alone.onnx");
  EXPECT_EQ(alone.find("test_accuracy"), std::string::npos);
  EXPECT_PRED2(contains, alone, "alone.safetensors");
}

TEST_F(Onnx, OpsetsHaveTheirFileFormats) {
  train_every_op();
  for (const auto& [opset, format] :
       std::map<std::string, int>{{"13", 7}, {"18", 8}, {"21", 10}, {"24", 12}}) {
    const ReadProtobuf model = exported({"--opset", opset});
    EXPECT_EQ(model.at(1).integer(), format) << opset;
    EXPECT_EQ(std::to_string(model.message(8).at(2).integer()), opset);
  }
  for (const char* opset : {"12", "25", "x"}) {
    const Outcome outcome = trainer({"export", "run", "-o", "model.onnx", "--opset", opset});
    expect_one_line(outcome, 2);
    EXPECT_PRED2(contains, outcome.err, "--opset");
  }
}

TEST_F(Onnx, AFileWithoutTheViewsOfTheRecipeSaysSo) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  folder_.write("views.yaml", read_text(folder_ / "small.yaml") + "  views: 5\n");
  ASSERT_EQ(trainer({"train", "--model", "views.yaml", "--data", "data", "--out", "views"}).code, 0);
  const Outcome noted = trainer({"export", "views", "-o", "views.onnx"});
  EXPECT_EQ(noted.code, 0);
  EXPECT_PRED2(contains, noted.err,
               "note: the file answers from one view of each image; trainer eval --views 1 measures that");
  EXPECT_EQ(trainer({"export", "run", "-o", "plain.onnx"}).err, "");
}

TEST_F(Onnx, WhereItCannotBeWrittenIsSaid) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const std::string before = read_text(folder_ / "run/model.safetensors");
  const auto refused = [&](const Words& more, int code, const char* why) {
    Words words{"export", "run"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    expect_one_line(outcome, code);
    EXPECT_PRED2(contains, outcome.err, why);
  };
  refused({}, 2, "--out");
  refused({"-o", "a.safetensors"}, 2, "--layout torch");
  refused({"-o", "a.onnx", "--layout", "torch"}, 2, "--layout onnx");
  refused({"-o", "a.safetensors", "--layout", "torch", "--opset", "17"}, 2, "--opset goes with");
  refused({"-o", "a", "--layout", "keras"}, 2, "--layout");
  refused({"-o", "run/model.safetensors", "--layout", "torch"}, 1, "the network itself");
  refused({"-o", "absent/a.onnx"}, 1, "No such file");
  refused({"-o", "data"}, 1, "data");
  refused({"-o", "/dev/full"}, 1, "/dev/full");
  EXPECT_EQ(read_text(folder_ / "run/model.safetensors"), before);
  const Outcome absent = trainer({"export", "absent", "-o", "a.onnx"});
  expect_one_line(absent, 1);
  EXPECT_PRED2(contains, absent.err, "no run or file 'absent'");
}

TEST_F(Onnx, OnnxsOwnToolsAgreeWithEval) {
  const std::string interpreter = python("numpy, onnx, onnxruntime");
  if (interpreter.empty())
    GTEST_SKIP() << "no onnx or onnxruntime; name an interpreter that has them with TRAINER_PYTHON";
  train_every_op();
  const Outcome proof =
      shell(interpreter + TRAINER_SOURCE_DIR "/tests/interchange/onnx_proof.py --trainer $T --data " +
            "data --opset 13 --opset 17 --opset 24 run");
  EXPECT_EQ(proof.code, 0) << proof.out << proof.err;
  EXPECT_PRED2(contains, proof.out, "\"network\": \"every-op\", \"opset\": 24");
  folder_.write("by_image.yaml", by_image());
  ASSERT_EQ(
      trainer({"train", "--model", "by_image.yaml", "--data", "data", "--out", "by-image", "--batch", "16"})
          .code,
      0);
  const Outcome second =
      shell(interpreter + TRAINER_SOURCE_DIR "/tests/interchange/onnx_proof.py --trainer $T --data " +
            "data --opset 13 --opset 24 by-image");
  EXPECT_EQ(second.code, 0) << second.out << second.err;
}

}  // namespace
}  // namespace trainer::test
