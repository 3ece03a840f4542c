// `quick` on a part of the real data, through every kernel of the GPU engine in the emulated CUDA: it learns,
// as the CPU engine does, and the CPU reads the network that it leaves.
#include "data/dataset.hpp"
#include "tests/data/idx_files.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

// The first images of the shipped data set: an emulated tensor core takes its time.
class GpuMnist : public ProgramTest {
 protected:
  GpuMnist() {
    const data::Dataset all = data::load_dataset(TRAINER_SOURCE_DIR "/data/mnist");
    write("digits/train", all.train, all.shape, 1024);
    write("digits/t10k", all.test, all.shape, 1000);
  }

 private:
  void write(const std::string& prefix, const data::Split& all, const Shape& shape,
             std::uint32_t count) const {
    const auto images = all.images.begin();
    const auto pixels = static_cast<std::ptrdiff_t>(count * shape.size());
    folder_.write(prefix + "-images-idx3-ubyte",
                  idx_bytes({count, static_cast<std::uint32_t>(shape.h), static_cast<std::uint32_t>(shape.w)},
                            {images, images + pixels}));
    folder_.write(prefix + "-labels-idx1-ubyte",
                  idx_bytes({count}, {all.labels.begin(), all.labels.begin() + count}));
  }
};

TEST_F(GpuMnist, AShortTrainingLearnsAsTheCpuDoesAndTheCpuReadsIt) {
  const auto train = [&](const std::string& device) {
    const Outcome outcome = trainer({"train", "--data", "digits", "--epochs", "1", "--batch", "32",
                                     "--precision", "fp32", "--device", device, "--out", device},
                                    {"CUDA_VISIBLE_DEVICES=0"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return record(device).results;
  };
  const Json gpu = train("cuda");
  const Json cpu = train("cpu");
  EXPECT_GT(gpu["test"]["accuracy"], 0.8);
  EXPECT_NEAR(gpu["test"]["accuracy"].get<double>(), cpu["test"]["accuracy"].get<double>(), 5e-3);
  const Outcome read = trainer({"eval", "cuda", "--data", "digits", "--device", "cpu", "--json"});
  ASSERT_EQ(read.code, 0) << read.err;
  const Json score = Json::parse(read.out);
  EXPECT_NEAR(score["accuracy"].get<double>(), gpu["test"]["accuracy"].get<double>(), 2e-3);  // two images
  EXPECT_NEAR(score["loss"].get<double>(), gpu["test"]["loss"].get<double>(), 1e-5);
  RecordProperty("gpu", std::to_string(gpu["test"]["accuracy"].get<double>()));
  RecordProperty("cpu", std::to_string(cpu["test"]["accuracy"].get<double>()));
}

}  // namespace
}  // namespace trainer::test
