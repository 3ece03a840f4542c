// trainer data show: a picture or page of a data set, and of what a recipe makes of it.
#include "tests/data/idx_files.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

const std::string kShownNetwork =
    "layers:\n  - dense: {out: classes}\nrecipe:\n  optimizer: sgd\n  rate: 0.1\n  batch: 8\n  epochs: "
    "1\n";

class DataShow : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    folder_.write("still.yaml", "name: still\n" + kShownNetwork);
    folder_.write("moved.yaml", "name: moved\n" + kShownNetwork + "  input: {augment: {shift: 2}}\n");
  }

  data::Image shown(const Words& more) const {
    Words words{"data", "show", "--data", "data", "-o", "sheet.png"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, at("sheet.png") + "\n");
    return data::read_image(folder_ / "sheet.png");
  }
};

// Whether columns `a` and `b` of the sheet's pictures are the same in the first row.
bool same_pictures(const data::Image& sheet, int a, int b, int side) {
  const int gap = 8, apart = side + gap;
  for (int y = gap; y < gap + side; ++y) {
    const auto from = [&](int column) {
      return sheet.pixels.begin() +
             std::ptrdiff_t{sheet.channels} * (std::ptrdiff_t{y} * sheet.width + gap + column * apart);
    };
    if (!std::equal(from(a), from(a) + std::ptrdiff_t{sheet.channels} * side, from(b))) return false;
  }
  return true;
}

TEST_F(DataShow, HasARowForEachLabel) {
  const data::Image sheet = shown({});
  const int side = static_cast<int>(56 / kSmallEdge * kSmallEdge);
  EXPECT_EQ(sheet.width, 8 + 10 * (side + 8));
  EXPECT_EQ(sheet.height, 8 + kSmallClasses * (side + 8));
  EXPECT_FALSE(same_pictures(sheet, 0, 1, side)) << "two images of a label";
}

TEST_F(DataShow, ShowsWhatNineEpochsMakeOfAnImage) {
  const data::Image sheet = shown({"--augment", "moved.yaml"});
  const int side = static_cast<int>(56 / kSmallEdge * kSmallEdge);
  int moved = 0;
  for (int column = 1; column < 10; ++column) moved += same_pictures(sheet, 0, column, side) ? 0 : 1;
  EXPECT_GE(moved, 5) << "one of 25 shifts leaves an image where it is";
  EXPECT_EQ(sheet.pixels, shown({"--augment", "moved.yaml"}).pixels);
  EXPECT_NE(sheet.pixels, shown({"--augment", "moved.yaml", "--seed", "2"}).pixels);
}

TEST_F(DataShow, APageHasTheSheetAndSaysWhatItShows) {
  const Outcome outcome = trainer({"data", "show", "--data", "data", "--augment", "moved.yaml"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::string page = read_text(folder_ / "data.html");
  EXPECT_NE(page.find("<img src=\"data:image/png;base64,iVBOR"), std::string::npos);
  EXPECT_NE(page.find("how nine epochs of moved.yaml show it: shifts within 2 pixels."), std::string::npos)
      << page.substr(0, 600);
}

TEST_F(DataShow, ShowsLabelsThatBeginLate) {
  const std::vector<std::uint8_t> images(4 * 3 * 3, 7), labels{40, 41, 40, 41};
  for (const char* split : {"train", "t10k"}) {
    folder_.write(std::string("late/") + split + "-images-idx3-ubyte", idx_bytes({4, 3, 3}, images));
    folder_.write(std::string("late/") + split + "-labels-idx1-ubyte", idx_bytes({4}, labels));
  }
  const Outcome outcome = trainer({"data", "show", "--data", "late", "-o", "late.png"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(data::read_image(folder_ / "late.png").height, 8 + 2 * (18 * 3 + 8)) << "two labels";
}

TEST_F(DataShow, WrongWordsAreRefused) {
  const auto refused = [&](const Words& more) {
    Words words{"data", "show", "--data", "data"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 2);
    return outcome.err;
  };
  EXPECT_EQ(refused({"-o", "sheet.gif"}),
            "error: --out sheet.gif: neither a picture (.png) nor a page (.html)\n");
  EXPECT_EQ(refused({"--augment", "still.yaml"}),
            "error: --augment still.yaml: its recipe has no `augment` in its `input`\n");
  folder_.write("large.yaml", "name: large\n" + kShownNetwork + "  input: {augment: {crop: 28}}\n");
  EXPECT_EQ(refused({"--augment", "large.yaml"}),
            "error: large: `augment: {crop: 28}` is larger than the 12x12 images\n");
  EXPECT_NE(refused({"--augment", "nonesuch"}).find("nonesuch"), std::string::npos);
}

}  // namespace
}  // namespace trainer::test
