// Single pictures: formats, channels, sizes, and every kind of broken file.
#include "data/image.hpp"

#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/data/bmp_writer.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/gzip_writer.hpp"
#include "tests/data/jpeg_bytes.hpp"
#include "tests/data/png_writer.hpp"
#include "tests/emulator/sanitizer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::data {
namespace {

using test::encode_bmp;
using test::encode_png;
using test::error_of;
using test::kJpeg;
using test::TemporaryFolder;
using Values = std::vector<std::uint8_t>;

Image picture(int height, int width, int channels) {
  Image image{height, width, channels, {}};
  for (int i = 0; i < height * width * channels; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(i * 37 + 5));
  return image;
}

class Picture : public ::testing::Test {
 protected:
  Image read(const Values& bytes, int channels = 0) {
    return read_image(path = folder.write("picture", bytes), channels);
  }
  std::string refusal(const Values& bytes) {
    const std::string message = error_of([&] { read(bytes); });
    EXPECT_TRUE(message.starts_with(path.string() + ": ")) << message;
    return message.substr(path.string().size() + 2);
  }

  TemporaryFolder folder;
  std::filesystem::path path;
};

TEST_F(Picture, PngOfOneToFourChannelsReadsBackAsStored) {
  for (const int channels : {1, 2, 3, 4}) {
    for (const int bits : {8, 16}) {
      const Image written = picture(5, 3, channels);
      const Image image = read(encode_png(written, bits));
      EXPECT_EQ(image.height, 5);
      EXPECT_EQ(image.width, 3);
      EXPECT_EQ(image.channels, channels);
      EXPECT_EQ(image.pixels, written.pixels) << channels << " channels, " << bits << " bits";
    }
  }
}

TEST_F(Picture, BmpReadsBackAsStored) {
  const Image written = picture(5, 3, 3);
  const Image image = read(encode_bmp(written));
  EXPECT_EQ(image.height, 5);
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.pixels, written.pixels);
}

TEST_F(Picture, JpegIsRead) {
  const Image image = read(kJpeg);
  ASSERT_EQ(image.pixels.size(), 64u);
  EXPECT_EQ(image.channels, 1);
  EXPECT_LT(image.pixels[0], 10);
  EXPECT_NEAR(image.pixels[24], 91, 12);
  EXPECT_NEAR(image.pixels[63], 207, 12);
}

TEST_F(Picture, ColourBecomesGreyByBrightness) {
  const Image colours{1, 5, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 9, 9, 9}};
  EXPECT_EQ(read(encode_png(colours), 1).pixels, (Values{76, 149, 28, 255, 9}));
}

TEST_F(Picture, GreyBecomesColourAndAlphaIsAdded) {
  const Image grey{1, 2, 1, {7, 200}};
  EXPECT_EQ(read(encode_png(grey), 3).pixels, (Values{7, 7, 7, 200, 200, 200}));
  EXPECT_EQ(read(encode_png(grey), 4).pixels, (Values{7, 7, 7, 255, 200, 200, 200, 255}));
}

TEST_F(Picture, TransparentPictureIsLaidOnWhite) {
  const Image ink{1, 3, 4, {0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 51}};
  EXPECT_EQ(read(encode_png(ink), 1).pixels, (Values{255, 0, 204}));
  EXPECT_EQ(read(encode_png(ink), 3).pixels, (Values{255, 255, 255, 0, 0, 0, 204, 204, 204}));
  const Image grey{1, 2, 2, {10, 0, 10, 255}};
  EXPECT_EQ(read(encode_png(grey), 1).pixels, (Values{255, 10}));
  EXPECT_EQ(read(encode_png({1, 2, 4, Values(8, 0)}), 1).pixels, (Values{255, 255}));
}

TEST_F(Picture, LightInkOnATransparentGroundIsLaidOnBlack) {
  const Image ink{1, 3, 4, {255, 255, 255, 0, 255, 255, 255, 255, 255, 255, 255, 51}};
  EXPECT_EQ(read(encode_png(ink), 1).pixels, (Values{0, 255, 51}));
  EXPECT_EQ(read(encode_png(ink), 3).pixels, (Values{0, 0, 0, 255, 255, 255, 51, 51, 51}));
  EXPECT_EQ(read(encode_png({1, 2, 2, {0, 0, 200, 255}}), 1).pixels, (Values{0, 200}));
  EXPECT_EQ(read(encode_png({1, 2, 2, {0, 0, 150, 255}}), 1).pixels, (Values{255, 150}));
}

TEST_F(Picture, SizeIsCheckedInTheHeaderBeforeDecoding) {
  Image claimed{4097, 1, 1, {}};
  EXPECT_EQ(refusal(test::png_around(claimed, {})),
            "a picture of 4097x1 pixels (height x width); at most 4096x4096 are read");
  claimed = {1, 2000000, 4, {}};
  EXPECT_EQ(refusal(test::png_around(claimed, {})),
            "a picture of 1x2000000 pixels (height x width); at most 4096x4096 are read");
  Values bmp = encode_bmp(picture(2, 2, 3));
  bmp[18 + 3] = 0x80;  // a width below zero
  EXPECT_EQ(refusal(bmp), "broken picture: its header says 2x-2147483646 pixels (height x width)");
}

TEST_F(Picture, PhotosMayHave50Megapixels) {
  const Values whole = encode_png({5000, 1, 1, Values(5000, 9)});
  path = folder.write("picture", whole);
  EXPECT_EQ(read_image(path, 1, kAnySide).pixels, Values(5000, 9));
  for (const Image& claimed : {Image{8160, 6200, 1, {}}, Image{300, 200000, 1, {}}}) {
    path = folder.write("picture", test::png_around(claimed, {}));
    EXPECT_EQ(error_of([&] { read_image(path, 1, kAnySide); }),
              fmt::format("{}: a picture of {}x{} pixels (height x width); at most 50 million are read",
                          path.string(), claimed.height, claimed.width));
  }
  path = folder.write("picture", test::png_around({8160, 6120, 4, {}}, {}, 16));
  EXPECT_HAS(error_of([&] { read_image(path, 1, kAnySide); }),
             "8160x6120 pixels (height x width) of 64 bits takes 762 MiB to read; at most 512");
}

TEST_F(Picture, LargestSizeIsRead) {
  const Image wide{1, 4096, 1, Values(4096, 9)};
  EXPECT_EQ(read(encode_png(wide)).pixels, wide.pixels);
}

TEST_F(Picture, NoPictureAtAll) {
  EXPECT_EQ(refusal({}), "not a PNG, JPEG or BMP picture (0 bytes)");
  EXPECT_EQ(refusal(Values(13, 7)), "not a PNG, JPEG or BMP picture (13 bytes)");
  path = folder / "absent.png";
  EXPECT_EQ(error_of([&] { read_image(path); }),
            path.string() + ": cannot be opened: No such file or directory");
}

TEST_F(Picture, CutShortAtEveryByteIsRefused) {
  for (const Values& whole : {encode_png(picture(4, 3, 1)), encode_bmp(picture(4, 3, 3)), kJpeg}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Values part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_FALSE(refusal(part).starts_with("(nothing")) << length << " of " << whole.size();
    }
  }
}

TEST_F(Picture, CutShortIsSaidWithBothNumbers) {
  const Values bmp = encode_bmp(picture(4, 3, 3));
  EXPECT_EQ(refusal({bmp.begin(), bmp.end() - 5}),
            fmt::format("broken picture, cut short: {} bytes, but its header requires {}", bmp.size() - 5,
                        bmp.size()));
  EXPECT_EQ(refusal({kJpeg.begin(), kJpeg.end() - 2}),
            "broken picture, cut short at 161 bytes: no end-of-image marker");
  const Values png = encode_png(picture(4, 3, 1));
  EXPECT_EQ(refusal({png.begin(), png.end() - 12}),
            fmt::format("broken picture, cut short at {} bytes: no IEND chunk", png.size() - 12));
  EXPECT_EQ(refusal({png.begin(), png.end() - 20}),
            "broken picture, cut short: chunk IDAT at offset 33 has 27 bytes, but 19 are left");
}

TEST_F(Picture, JpegWithMoreCodesThanATableHoldsIsRefused) {
  Values jpeg = kJpeg;
  const std::size_t tables = 106;  // ff c4, length, table number, 16 counts
  ASSERT_EQ(jpeg[tables], 0x00);
  ASSERT_EQ(jpeg[tables - 3], 0xc4);
  jpeg[tables + 1] = 200;
  jpeg[tables + 2] = 57;
  EXPECT_EQ(refusal(jpeg),
            "broken picture, damaged: the Huffman table at offset 102 has more than 256 codes");
}

TEST_F(Picture, DamagedPngIsFoundByItsChecksums) {
  Values png = encode_png(picture(4, 3, 1));
  png[50] ^= 1;
  EXPECT_HAS(refusal(png), "broken picture, damaged: chunk at offset 33 has checksum 0x");
}

TEST_F(Picture, PngWhoseDataDoNotDecode) {
  const Image claimed{4, 3, 1, {}};
  const Values garbage{0x78, 0x01, 0x07, 0xff, 0xff};
  EXPECT_HAS(refusal(test::png_around(claimed, garbage)), "broken picture of 62 bytes: ");
  EXPECT_HAS(refusal(test::png_around(claimed, test::zlib_stored(Values(15)))), "broken picture of ");
}

// 257 MiB of zeros in a quarter of a megabyte, behind a header that says 4 x 3 pixels.
TEST_F(Picture, PngBombIsStopped) {
  Values zlib{0x78, 0x01};
  const Values packed = test::deflate(Values(std::size_t{257} << 20, 0), 1);
  zlib.insert(zlib.end(), packed.begin(), packed.end());
  EXPECT_HAS(refusal(test::png_around({4, 3, 1, {}}, zlib)), "outofmem");
}

// In a child with no more address space than a part of the pixels needs.
TEST_F(Picture, AGoodPictureWithoutMemoryForItIsNotCalledBroken) {
  if (emulator::kAddressSanitizer) GTEST_SKIP() << "the sanitizer reserves address space";
  const Values png = encode_png(picture(4000, 4000, 3));
  const auto read_with_little = [&] {
    path = folder.write("picture", png);
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{(pages << 12U) + (std::uint64_t{40} << 20U), RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    try {
      read_image(path);
    } catch (const std::bad_alloc&) {
      _exit(7);
    }
  };
  EXPECT_EXIT(read_with_little(), ::testing::ExitedWithCode(7), "");
}

TEST_F(Picture, MutatedPicturesLoadOrAreRefused) {
  std::mt19937 random(7);
  const std::vector<Values> originals{encode_png(picture(6, 5, 4)), encode_bmp(picture(6, 5, 3)), kJpeg};
  int refused = 0;
  for (int round = 0; round < 900; ++round) {
    Values bytes = originals[static_cast<std::size_t>(round) % originals.size()];
    for (std::size_t i = 0; i <= random() % 3; ++i) {
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    }
    try {
      const Image image = read(bytes, round % 5 == 2 ? 0 : round % 5);
      EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.height * image.width * image.channels));
    } catch (const DataError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(path.string() + ": "));
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 900);
}

}  // namespace
}  // namespace trainer::data
