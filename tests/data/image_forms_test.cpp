// The forms of picture files: every orientation, kinds of BMP and PNG, and what is refused by name.
#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>

#include "data/image.hpp"
#include "tests/data/bmp_writer.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/jpeg_bytes.hpp"
#include "tests/data/png_writer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::data {
namespace {

using Values = std::vector<std::uint8_t>;

class PictureForms : public ::testing::Test {
 protected:
  Image read(const Values& bytes, int channels = 0) {
    return read_image(folder.write("picture", bytes), channels);
  }
  std::string refusal(const Values& bytes) {
    return test::error_of([&] { read(bytes); }).substr((folder / "picture").string().size() + 2);
  }
  std::string refusal(const std::string& text) { return refusal(Values(text.begin(), text.end())); }

  test::TemporaryFolder folder;
};

Values little(std::size_t value, int count) {
  Values bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}

Values joined(const std::vector<Values>& parts) {
  Values all;
  for (const Values& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// EXIF data of two entries, in either order of bytes.
Values exif(int orientation, bool big_endian) {
  const auto number = [&](std::size_t value, int count) {
    Values bytes = little(value, count);
    if (big_endian) std::reverse(bytes.begin(), bytes.end());
    return bytes;
  };
  const Values start = big_endian ? Values{'M', 'M'} : Values{'I', 'I'};
  const auto entry = [&](std::size_t tag, std::size_t value) {
    return joined({number(tag, 2), number(3, 2), number(1, 4), number(value, 2), number(0, 2)});
  };
  return joined({start, number(42, 2), number(8, 4), number(2, 2), entry(0x100, 7),
                 entry(0x112, static_cast<std::size_t>(orientation)), number(0, 4)});
}

Values jpeg_with(const Values& exif_data) {
  const Values start{'E', 'x', 'i', 'f', 0, 0};
  const std::size_t length = exif_data.size() + 8;
  const Values marker{0xff, 0xe1, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)};
  Values jpeg = joined({marker, start, exif_data});
  jpeg.insert(jpeg.begin(), test::kJpeg.begin(), test::kJpeg.begin() + 2);
  jpeg.insert(jpeg.end(), test::kJpeg.begin() + 2, test::kJpeg.end());
  return jpeg;
}

// abc      1: as it is. Each row of the table is the picture as it is to be seen, its rows apart by a space.
// def
TEST_F(PictureForms, EveryOrientationOfAPng) {
  const char* seen[] = {"abc def",  "cba fed",  "fed cba",  "def abc",
                        "ad be cf", "da eb fc", "fc eb da", "cf be ad"};
  for (const bool big_endian : {false, true}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      Values png = test::encode_png({2, 3, 1, {'a', 'b', 'c', 'd', 'e', 'f'}});
      Values chunk;
      test::append_png_chunk(chunk, "eXIf", exif(orientation, big_endian));
      png.insert(png.begin() + 33, chunk.begin(), chunk.end());
      const Image image = read(png);
      std::string text;
      for (std::size_t i = 0; i < image.pixels.size(); ++i) {
        if (i > 0 && i % static_cast<std::size_t>(image.width) == 0) text += ' ';
        text += static_cast<char>(image.pixels[i]);
      }
      EXPECT_EQ(text, seen[orientation - 1]) << orientation;
    }
  }
}

// The stored picture is dark above and light below.
TEST_F(PictureForms, EveryOrientationOfAJpeg) {
  const char* dark[] = {"top", "top", "bottom", "bottom", "left", "right", "right", "left"};
  for (const bool big_endian : {false, true}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const Values pixels = read(jpeg_with(exif(orientation, big_endian))).pixels;
      const bool rows = std::abs(pixels[56] - pixels[0]) > 100;
      const bool first = pixels[0] < pixels[63];
      EXPECT_STREQ(rows ? (first ? "top" : "bottom") : (first ? "left" : "right"), dark[orientation - 1])
          << orientation;
    }
  }
}

TEST_F(PictureForms, ExifWithoutAnOrientationOrCutShortIsUpright) {
  const Values upright = read(test::kJpeg).pixels;
  const Values whole = exif(6, true);
  for (std::size_t length = 0; length < 32; ++length)
    EXPECT_EQ(read(jpeg_with({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)})).pixels,
              upright);
  for (const int nonsense : {0, 9, 65535}) EXPECT_EQ(read(jpeg_with(exif(nonsense, false))).pixels, upright);
  Values one_entry = whole;  // the other one is not counted
  one_entry[9] = 1;
  EXPECT_EQ(read(jpeg_with(one_entry)).pixels, upright);
}

struct Bmp {
  std::size_t header = 40;  // bytes
  int height = 2;           // below 0: from the top down
  std::size_t bits = 24;
  std::size_t compression = 0;
  Values behind = {};  // between the headers and the rows
  Values rows = {};
  Values masks = {};  // inside a header of more than 40 bytes
};

Values bmp_file(const Bmp& bmp) {
  Values header =
      joined({little(bmp.header, 4), little(2, 4), little(static_cast<std::uint32_t>(bmp.height), 4),
              little(1, 2), little(bmp.bits, 2), little(bmp.compression, 4), Values(20, 0), bmp.masks});
  header.resize(bmp.header, 0);
  const std::size_t begin = 14 + header.size() + bmp.behind.size();
  return joined({{'B', 'M'},
                 little(begin + bmp.rows.size(), 4),
                 little(0, 4),
                 little(begin, 4),
                 header,
                 bmp.behind,
                 bmp.rows});
}

// Red and green above blue and white.
const Values kColours{255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};

TEST_F(PictureForms, BmpFromTheTopDown) {
  const Values above24{0, 0, 255, 0, 255, 0, 0, 0}, below24{255, 0, 0, 255, 255, 255, 0, 0};
  const Values above32{0, 0, 255, 0, 0, 255, 0, 0}, below32{255, 0, 0, 0, 255, 255, 255, 0};
  const Values palette{0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0};
  const Values above8{0, 1, 0, 0}, below8{2, 3, 0, 0};
  EXPECT_EQ(read(bmp_file({.rows = joined({below24, above24})})).pixels, kColours);
  EXPECT_EQ(read(bmp_file({.height = -2, .rows = joined({above24, below24})})).pixels, kColours);
  EXPECT_EQ(read(bmp_file({.height = -2, .bits = 32, .rows = joined({above32, below32})}), 3).pixels,
            kColours);
  EXPECT_EQ(read(bmp_file({.bits = 8, .behind = palette, .rows = joined({below8, above8})})).pixels,
            kColours);
  const Image down =
      read(bmp_file({.height = -2, .bits = 8, .behind = palette, .rows = joined({above8, below8})}));
  EXPECT_EQ(down.pixels, kColours);
  EXPECT_EQ(down.height, 2);
}

TEST_F(PictureForms, BmpOf16Bits) {
  const Values of555{0x1f, 0, 0xff, 0x7f, 0, 0x7c, 0xe0, 3};
  const Values of565{0x1f, 0, 0xff, 0xff, 0, 0xf8, 0xe0, 7};
  const Values masks = joined({little(0xf800, 4), little(0x7e0, 4), little(0x1f, 4)});
  EXPECT_EQ(read(bmp_file({.bits = 16, .rows = of555})).pixels, kColours);
  EXPECT_EQ(read(bmp_file({.bits = 16, .compression = 3, .behind = masks, .rows = of565})).pixels, kColours);
  const Values four = joined({masks, little(0, 4)});  // a mask for alpha too
  EXPECT_EQ(read(bmp_file({.bits = 16, .compression = 3, .behind = four, .rows = of565})).pixels, kColours);
  for (const std::size_t header : {52U, 56U, 108U, 124U}) {
    const Values file =
        bmp_file({.header = header, .bits = 16, .compression = 3, .rows = of565, .masks = masks});
    EXPECT_EQ(read(file, 3).pixels, kColours) << header;
  }
  const Image half = read(bmp_file({.bits = 16, .rows = {16, 0, 0, 0, 0, 0, 0, 0}}));
  EXPECT_NEAR(half.pixels[8], 255 * 16 / 31, 1);
}

TEST_F(PictureForms, BmpWithAGapBeforeItsPixelArrayOrAShortPalette) {
  const Values rows{255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0};
  EXPECT_EQ(read(bmp_file({.behind = Values(10, 7), .rows = rows})).pixels, kColours);
  EXPECT_EQ(read(bmp_file({.header = 124, .behind = Values(10, 7), .rows = rows})).pixels, kColours);
  const Values two{0, 0, 0, 0, 255, 255, 255, 0};
  EXPECT_EQ(read(bmp_file({.bits = 8, .behind = two, .rows = {0, 1, 0, 0, 1, 200, 0, 0}}), 1).pixels,
            (Values{255, 0, 0, 255}));
}

TEST_F(PictureForms, BmpOfNegativeWidthOrNoHeightIsBroken) {
  Values bmp = bmp_file({.rows = Values(16, 0)});
  for (std::size_t i = 18; i < 22; ++i) bmp[i] = i == 18 ? 0xfe : 0xff;
  EXPECT_EQ(refusal(bmp), "broken picture: its header says 2x-2 pixels (height x width)");
  EXPECT_EQ(refusal(bmp_file({.height = 0, .rows = Values(16, 0)})),
            "broken picture: its header says 0x2 pixels (height x width)");
}

TEST_F(PictureForms, BmpWithRunLengthsIsRefusedByName) {
  for (const std::size_t compression : {1U, 2U}) {
    Values bmp = bmp_file({.bits = 8, .compression = compression, .rows = {2, 0, 0, 1}});
    bmp[34] = 4;  // the image's bytes
    EXPECT_EQ(refusal(bmp),
              "a BMP picture with RLE compression, which is not read; convert it to PNG or JPEG");
  }
}

TEST_F(PictureForms, OtherFormatsAreRefusedByName) {
  using namespace std::string_literals;
  const std::pair<std::string, const char*> formats[] = {
      {"GIF89a", "GIF"},
      {"II*\0\x08"s, "TIFF"},
      {"MM\0*\0"s, "TIFF"},
      {"RIFF\x24\0\0\0WEBPVP8 "s, "WebP"},
      {"\0\0\0\x1c"s + "ftypavif", "AVIF"},
      {"\0\0\0\x1c"s + "ftypheic", "HEIC"},
      {"\0\0\0\x1c"s + "ftypheix", "HEIC"},
      {"\0\0\0\x1c"s + "ftypmif1", "HEIC or AVIF"},
      {"\0\0\0\x1c"s + "ftypmsf1", "HEIC or AVIF"},
      {"\0\0\0\x0cjP  \r\n"s, "JPEG 2000"},
      {"\0\0\0\x0cJXL \r\n"s, "JPEG XL"},
      {"\xff\x0a\x01"s, "JPEG XL"},
      {"%PDF-1.7", "PDF"},
  };
  for (const auto& [start, name] : formats) {
    EXPECT_EQ(refusal(start + std::string(40, '\0')),
              fmt::format("a picture in the format {}, which is not read; convert it to PNG or JPEG", name));
  }
}

TEST_F(PictureForms, AVideoIsRefusedWithoutTheNameOfAPicture) {
  for (const char* brand : {"mp41", "mp42", "isom"}) {
    EXPECT_EQ(refusal(std::string(3, '\0') + "\x1c" + "ftyp" + brand + std::string(40, '\0')),
              "not a PNG, JPEG or BMP picture (52 bytes)");
  }
}

TEST_F(PictureForms, JpegOfFourInksIsReadOnlyIfItSaysHow) {
  Values jpeg = test::kJpeg;
  jpeg[98] = 4;  // channels in the frame
  ASSERT_EQ(jpeg[90], 0xc0);
  EXPECT_EQ(refusal(jpeg),
            "a CMYK JPEG picture that does not say how its inks are stored; convert it to RGB");
  const Values adobe{0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};
  jpeg.insert(jpeg.begin() + 2, adobe.begin(), adobe.end());
  EXPECT_EQ(refusal(jpeg).find("CMYK"),
            std::string::npos);  // its one channel does not make four, but that is another fault
}

TEST_F(PictureForms, PngColoursBeyondAShortPaletteAreBlack) {
  Values png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  test::append_png_chunk(png, "IHDR", Values{0, 0, 0, 3, 0, 0, 0, 1, 8, 3, 0, 0, 0});
  test::append_png_chunk(png, "PLTE", Values{10, 20, 30, 40, 50, 60});
  test::append_png_chunk(png, "IDAT", test::zlib_stored(Values{0, 0, 1, 200}));
  test::append_png_chunk(png, "IEND", {});
  EXPECT_EQ(read(png).pixels, (Values{10, 20, 30, 40, 50, 60, 0, 0, 0}));
}

// A palette that is completed moves what follows it, a scan goes through the whole picture: a small file with many of them would
// take hours.
TEST_F(PictureForms, ManyPalettesOrScansAreRefused) {
  Values png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  test::append_png_chunk(png, "IHDR", Values{0, 0, 0, 3, 0, 0, 0, 1, 8, 3, 0, 0, 0});
  for (int i = 0; i < 2; ++i) test::append_png_chunk(png, "PLTE", Values{10, 20, 30, 40, 50, 60});
  test::append_png_chunk(png, "IDAT", test::zlib_stored(Values{0, 0, 1, 200}));
  test::append_png_chunk(png, "IEND", {});
  EXPECT_EQ(refusal(png), "broken picture, damaged: a second palette at offset 813");
  const auto scans = [](std::size_t count) {
    const auto marker = [](const Values& in, std::uint8_t kind) {
      return std::ranges::search(in, Values{0xff, kind}).begin() - in.begin();
    };
    Values all(test::kJpeg.begin(), test::kJpeg.begin() + marker(test::kJpeg, 0xda));
    all[static_cast<std::size_t>(marker(all, 0xc0)) + 1] = 0xc2;  // progressive
    for (std::size_t i = 0; i < count; ++i) {
      const Values scan{0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0};
      all.insert(all.end(), scan.begin(), scan.end());
    }
    all.insert(all.end(), {0xff, 0xd9});
    return all;
  };
  EXPECT_EQ(read(scans(100)).pixels.size(), 64U);
  EXPECT_EQ(refusal(scans(101)),
            "a JPEG picture in more than 100 scans; convert it to one without progressive scans");
}

TEST_F(PictureForms, ApplesOwnPngIsRefused) {
  Values png = test::encode_png({2, 3, 1, Values(6, 9)});
  Values chunk;
  test::append_png_chunk(chunk, "CgBI", Values(4, 0));
  png.insert(png.begin() + 8, chunk.begin(), chunk.end());
  EXPECT_EQ(refusal(png), "a PNG picture in Apple's CgBI variant; convert it to a standard PNG");
}

}  // namespace
}  // namespace trainer::data
