// The main job on the real data: `quick` for one epoch reaches its accuracy, and the network that it leaves
// reads pictures of digits as users have them. One case, because the training is what takes the time.
#include <algorithm>
#include <cmath>

#include "data/dataset.hpp"
#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

constexpr std::size_t kPictures = 1000;

enum class Look { original, inverted, colour, alpha };

struct Variant {
  const char* name;
  int edge;
  Look look;
};

// Ink from 0 to 1 of an MNIST image at a place of the enlarged picture, bilinear between pixel centres.
double ink_at(const std::uint8_t* image, int edge, int y, int x) {
  const auto place = [edge](int at) { return std::clamp((at + 0.5) * 28 / edge - 0.5, 0.0, 27.0); };
  const double v = place(y);
  const double u = place(x);
  const int top = std::min(static_cast<int>(v), 26);
  const int left = std::min(static_cast<int>(u), 26);
  const double down = v - top;
  const double right = u - left;
  const std::uint8_t* p = image + top * 28 + left;
  return ((p[0] * (1 - right) + p[1] * right) * (1 - down) + (p[28] * (1 - right) + p[29] * right) * down) /
         255;
}

void append_pixel(std::vector<std::uint8_t>& pixels, Look look, double ink) {
  const auto between = [ink](int paper, int colour) {
    return static_cast<std::uint8_t>(std::lround(paper + (colour - paper) * ink));
  };
  switch (look) {
    case Look::original:
      pixels.push_back(between(0, 255));
      break;
    case Look::inverted:
      pixels.push_back(between(255, 0));
      break;
    case Look::colour:  // blue ink on yellowish paper
      for (const std::uint8_t value : {between(250, 20), between(240, 30), between(200, 140)})
        pixels.push_back(value);
      break;
    case Look::alpha:  // black ink on nothing
      for (const std::uint8_t value : {std::uint8_t{0}, std::uint8_t{0}, std::uint8_t{0}, between(0, 255)})
        pixels.push_back(value);
      break;
  }
}

data::Image rendered(const std::uint8_t* image, const Variant& variant) {
  const int channels = variant.look == Look::alpha ? 4 : variant.look == Look::colour ? 3 : 1;
  data::Image picture{variant.edge, variant.edge, channels, {}};
  for (int y = 0; y < variant.edge; ++y) {
    for (int x = 0; x < variant.edge; ++x)
      append_pixel(picture.pixels, variant.look, ink_at(image, variant.edge, y, x));
  }
  return picture;
}

class Mnist : public ProgramTest {
 protected:
  // Share of the first test images that the run reads right from their pictures.
  double accuracy(const data::Split& test, const Variant& variant, const char* fit) {
    Words words{"predict", "run", "--json", "--fit", fit};
    for (std::size_t i = 0; i < kPictures; ++i) {
      const std::string name = std::string(variant.name) + "/" + std::to_string(i) + ".png";
      folder_.write(name, encode_png(rendered(test.images.data() + i * 784, variant)));
      words.push_back(name);
    }
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err.substr(0, 500);
    const Json answers = Json::parse(outcome.out, nullptr, false);
    std::size_t correct = 0;
    for (std::size_t i = 0; i < std::min(kPictures, answers.size()); ++i)
      correct += answers[i].value("label", "") == std::to_string(test.labels[i]) ? 1 : 0;
    fs::remove_all(folder_ / variant.name);
    return static_cast<double>(correct) / kPictures;
  }
};

TEST_F(Mnist, OneEpochOfQuickReachesItsAccuracyAndReadsPictures) {
  const Outcome outcome = trainer({"train", "--epochs", "1", "--out", "run"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json results = record("run").results;
  EXPECT_GE(results["test"]["accuracy"], 0.987);
  EXPECT_LT(results["peak_memory_bytes"], 400'000'000);

  const data::Dataset dataset = data::load_dataset(TRAINER_SOURCE_DIR "/data/mnist");
  const double originals = accuracy(dataset.test, {"originals", 28, Look::original}, "picture");
  EXPECT_GE(originals, 0.98);
  for (const Variant& variant :
       {Variant{"original-28", 28, Look::original}, Variant{"original-37", 37, Look::original},
        Variant{"inverted-56", 56, Look::inverted}, Variant{"colour-100", 100, Look::colour},
        Variant{"alpha-56", 56, Look::alpha}, Variant{"inverted-224", 224, Look::inverted}}) {
    const double share = accuracy(dataset.test, variant, "auto");
    EXPECT_GT(share, originals - 0.01) << variant.name;
    RecordProperty(variant.name, std::to_string(share));
  }
}

}  // namespace
}  // namespace trainer::test
