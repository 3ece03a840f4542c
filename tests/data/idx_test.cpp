// IDX files: what loads, and the message of everything that does not.
#include "data/idx.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>

#include "data/input_file.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/gzip_writer.hpp"
#include "tests/data/idx_files.hpp"

namespace trainer::data {
namespace {

using test::error_of;
using test::gzip;
using test::idx_bytes;
using test::IdxSet;
using test::TemporaryFolder;
using Values = std::vector<std::uint8_t>;

Values ramp(std::size_t count) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return values;
}

Values joined(Values first, const Values& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class IdxFile : public ::testing::Test {
 protected:
  IdxArray read(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return read_idx(path = folder.write("a-file", bytes), content);
  }
  IdxArray read_packed(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return read_idx(path = folder.write("a-file.gz", bytes), content);
  }
  // The message for a plain file, without the path that it must begin with.
  std::string refusal(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return after_path(error_of([&] { read(bytes, content); }));
  }
  std::string packed_refusal(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return after_path(error_of([&] { read_packed(bytes, content); }));
  }
  std::string after_path(const std::string& message) {
    const std::string start = path.string() + ": ";
    EXPECT_TRUE(message.starts_with(start)) << message;
    return message.substr(std::min(start.size(), message.size()));
  }

  TemporaryFolder folder;
  std::filesystem::path path;
  const Values pixels = ramp(60);
  const Values whole = idx_bytes({5, 4, 3}, pixels);
};

TEST_F(IdxFile, PlainAndGzipGiveTheSameValues) {
  const IdxArray plain = read(whole);
  EXPECT_EQ(plain.header.count, 5u);
  EXPECT_EQ(plain.header.shape, (Shape{4, 3, 1}));
  EXPECT_EQ(Values(plain.values.begin(), plain.values.end()), pixels);
  for (const int level : {0, 1, 6, 12})
    EXPECT_EQ(read_packed(gzip(whole, {.level = level})).values, plain.values);
}

TEST_F(IdxFile, ImagesMayHaveThreeChannelsInAFourthDimension) {
  const IdxArray colour = read(idx_bytes({2, 5, 2, 3}, ramp(60)));
  EXPECT_EQ(colour.header.shape, (Shape{5, 2, 3}));
  EXPECT_EQ(colour.values.size(), 60u);
  EXPECT_EQ(read(idx_bytes({2, 5, 2, 1}, ramp(20))).header.shape, (Shape{5, 2, 1}));
}

TEST_F(IdxFile, LabelsHaveOneDimension) {
  const IdxArray labels = read(idx_bytes({4}, {7, 0, 255, 3}), IdxContent::kLabels);
  EXPECT_EQ(labels.header.count, 4u);
  EXPECT_EQ(Values(labels.values.begin(), labels.values.end()), (Values{7, 0, 255, 3}));
}

TEST_F(IdxFile, GzipWithEveryOptionalFieldLoads) {
  const Values packed =
      gzip(whole, {.name = "train", .comment = "by hand", .extra = {1, 2, 3}, .header_checksum = true});
  EXPECT_EQ(read_packed(packed).values, read(whole).values);
}

TEST_F(IdxFile, GzipInSeveralMembersLoads) {
  const std::span<const std::uint8_t> all(whole);
  Values packed = gzip(all.first(0));
  for (const std::size_t at : {0u, 9u, 40u}) {
    packed = joined(packed, gzip(all.subspan(at, std::min<std::size_t>(at == 0   ? 9
                                                                       : at == 9 ? 31
                                                                                 : 999,
                                                                       all.size() - at))));
  }
  EXPECT_EQ(read_packed(packed).values, read(whole).values);
}

TEST_F(IdxFile, LargerThanTheStartThatIsUnpackedFirst) {
  const Values values = ramp(784'000);
  const Values large = idx_bytes({1000, 28, 28}, values);
  for (const int level : {0, 1, 9}) {
    const IdxArray array = read_packed(gzip(large, {.level = level}));
    EXPECT_TRUE(std::equal(values.begin(), values.end(), array.values.begin(), array.values.end())) << level;
  }
}

TEST_F(IdxFile, FileThatIsNotThereOrNoFile) {
  path = folder / "absent";
  EXPECT_EQ(after_path(error_of([&] { read_idx(path, IdxContent::kImages); })),
            "cannot be opened: No such file or directory");
  path = folder.path();
  EXPECT_EQ(after_path(error_of([&] { read_idx(path, IdxContent::kImages); })), "is not a regular file");
}

TEST_F(IdxFile, HeaderCutShort) {
  EXPECT_EQ(refusal({}), "holds 0 bytes, fewer than the 16 of an IDX header of images");
  EXPECT_EQ(refusal({0, 0, 8}), "holds 3 bytes, fewer than the 16 of an IDX header of images");
  EXPECT_EQ(refusal({whole.begin(), whole.begin() + 15}),
            "holds 15 bytes, fewer than the 16 of an IDX header of images");
  EXPECT_EQ(refusal({0, 0, 8, 1, 0}, IdxContent::kLabels),
            "holds 5 bytes, fewer than the 8 of an IDX header of labels");
  EXPECT_EQ(packed_refusal(gzip(Values{0, 0})),
            "holds 2 bytes, fewer than the 16 of an IDX header of images");
}

TEST_F(IdxFile, WrongMagicNumber) {
  EXPECT_EQ(refusal(whole, IdxContent::kLabels),
            "magic number 0x00000803, not 0x00000801 (IDX labels); this is a file of images");
  EXPECT_EQ(
      packed_refusal(gzip(gzip(gzip(whole)))),
      "magic number 0x1f8b0800, not 0x00000803 (IDX images); this file is packed by gzip more than twice: "
      "unpack it");
  Values other = whole;
  other[0] = 'P';
  EXPECT_EQ(refusal(other), "magic number 0x50000803, not 0x00000803 (IDX images)");
  other[0] = 0;
  for (const std::uint8_t type : {0x09, 0x0b, 0x0c, 0x0d, 0x0e}) {
    other[2] = type;
    EXPECT_EQ(refusal(other),
              fmt::format("IDX elements of type 0x{:02x}; only 0x08 (unsigned byte) is read", type));
  }
  other[2] = 0x0a;
  EXPECT_EQ(refusal(other), "magic number 0x00000a03, not 0x00000803 (IDX images)");
  EXPECT_EQ(packed_refusal(gzip(idx_bytes({1}, {1}))),
            "magic number 0x00000801, not 0x00000803 (IDX images); this is a file of labels");
}

TEST_F(IdxFile, ImpossibleSizes) {
  EXPECT_EQ(refusal(idx_bytes({0, 4, 3}, {})), "holds 0 images; at least 1 is needed");
  EXPECT_EQ(refusal(idx_bytes({0}, {}), IdxContent::kLabels), "holds 0 labels; at least 1 is needed");
  EXPECT_EQ(refusal(idx_bytes({5, 0, 3}, pixels)), "images of 0x3 pixels: a size of zero");
  EXPECT_EQ(refusal(idx_bytes({5, 4, 0}, pixels)), "images of 4x0 pixels: a size of zero");
  EXPECT_EQ(refusal(idx_bytes({1, 4097, 1}, pixels)), "images of 4097x1 pixels; at most 4096x4096 are read");
  EXPECT_EQ(refusal(idx_bytes({0xffffffff, 0xffffffff, 0xffffffff}, {})),
            "images of 4294967295x4294967295 pixels; at most 4096x4096 are read");
  EXPECT_EQ(refusal(idx_bytes({5, 4, 3, 2}, pixels)),
            "images of 2 channels (sizes 5x4x3x2); 1 and 3 are read");
}

TEST_F(IdxFile, LengthIsCheckedAgainstTheHeaderBeforeAllocating) {
  Values bytes = whole;
  bytes.pop_back();
  EXPECT_EQ(refusal(bytes),
            "too short: the IDX header says 5x4x3, which makes 76 bytes, but the file has 75");
  EXPECT_EQ(refusal(joined(whole, {0})),
            "too long: the IDX header says 5x4x3, which makes 76 bytes, but the file has 77");
  EXPECT_EQ(
      refusal(idx_bytes({0xffffffff, 4096, 4096, 3}, {})),
      "too short: the IDX header says 4294967295x4096x4096x3, which makes 216172782063452180 bytes, but the "
      "file has 20");
  EXPECT_EQ(refusal(idx_bytes({9}, {1, 2}), IdxContent::kLabels),
            "too short: the IDX header says 9, which makes 17 bytes, but the file has 10");
}

TEST_F(IdxFile, GzipLengthIsCheckedAgainstTheHeader) {
  Values bytes = whole;
  bytes.pop_back();
  EXPECT_EQ(packed_refusal(gzip(bytes)),
            "too short: the IDX header says 5x4x3, which makes 76 bytes, but the file unpacks to 75");
  EXPECT_EQ(packed_refusal(gzip(joined(whole, {0}))),
            "too long: the IDX header says 5x4x3, which makes 76 bytes, but the file unpacks to 77");
  const Values packed = gzip(idx_bytes({0xffffffff, 4096, 4096}, {1, 2, 3}));
  EXPECT_EQ(
      packed_refusal(packed),
      fmt::format("too short: the IDX header says 4294967295x4096x4096, which makes 72057594021150736 bytes, "
                  "but a gzip file of {} bytes can hold at most {}",
                  packed.size(), 1032 * packed.size()));
}

TEST_F(IdxFile, GzipBombIsStoppedAtTheSizeOfItsHeader) {
  Values bomb = idx_bytes({5, 4, 3}, {});
  bomb.resize(std::size_t{64} << 20, 0);
  EXPECT_EQ(packed_refusal(gzip(bomb)),
            "too long: the IDX header says 5x4x3, which makes 76 bytes, but the file unpacks to more; its "
            "last four bytes say 67108864");
}

TEST_F(IdxFile, BadGzipHeader) {
  EXPECT_EQ(packed_refusal({'P', 'K', 3, 4}),
            "gzip data cut short: 4 bytes from offset 0, and the smallest gzip member has 18");
  EXPECT_EQ(packed_refusal(Values(20, 'x')), "not gzip data: bytes 78 78 at offset 0, not 1f 8b");
  EXPECT_EQ(packed_refusal({}),
            "gzip data cut short: 0 bytes from offset 0, and the smallest gzip member has 18");
  Values packed = gzip(whole);
  packed[2] = 7;
  EXPECT_EQ(packed_refusal(packed), "bad gzip header: compression method 7, not 8 (deflate)");
  packed = gzip(whole);
  packed[3] = 0x40;
  EXPECT_EQ(packed_refusal(packed), "bad gzip header: reserved flags set (0x40)");
  packed = gzip(whole, {.name = "train", .header_checksum = true});
  packed[11] ^= 1;
  EXPECT_HAS(packed_refusal(packed), "bad gzip header: checksum 0x");
  packed = gzip(whole, {.extra = {1, 2, 3}});
  packed[11] = 0xff;
  EXPECT_EQ(packed_refusal(packed), fmt::format("bad gzip header: its fields run to byte {} of a file of {}",
                                                12 + 0xff03, packed.size()));
  packed = gzip(whole, {.name = "endless"});
  for (std::size_t i = 10; i < packed.size(); ++i) packed[i] |= 1;
  EXPECT_HAS(packed_refusal(packed), fmt::format("of a file of {}", packed.size()));
}

TEST_F(IdxFile, GzipCutShortAtEveryByte) {
  const Values packed = gzip(whole, {.name = "name"});
  for (std::size_t length = 0; length < packed.size(); ++length) {
    const std::string message =
        packed_refusal({packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length)});
    EXPECT_TRUE(message.find("cut short") != std::string::npos ||
                message.starts_with("bad gzip header: its fields"))
        << length << ": " << message;
  }
}

TEST_F(IdxFile, LargeGzipCutShort) {
  const Values packed = gzip(idx_bytes({1000, 28, 28}, ramp(784'000)), {.level = 1});
  for (const std::size_t length : {packed.size() / 10, packed.size() / 2, packed.size() - 9}) {
    const Values part(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(packed_refusal(part),
              fmt::format(
                  "gzip data cut short or damaged: the file has {} bytes, and its last four say {} unpacked",
                  length, gzip_stated_length(part)));
  }
  EXPECT_EQ(packed_refusal({packed.begin(), packed.end() - 3}),
            "gzip data cut short: 5 of the last 8 bytes (checksum and length) are there");
}

TEST_F(IdxFile, GzipChecksumAndLengthAreChecked) {
  Values packed = gzip(whole);
  const std::size_t footer = packed.size() - 8;
  const std::uint32_t checksum = libdeflate_crc32(0, whole.data(), whole.size());
  packed[footer] ^= 1;
  EXPECT_EQ(packed_refusal(packed),
            fmt::format("gzip checksum: the contents have 0x{:08x}, the file says 0x{:08x}; it is damaged",
                        checksum, checksum ^ 1));
  packed = gzip(whole);
  packed[footer + 4] ^= 1;
  EXPECT_EQ(packed_refusal(packed),
            "gzip length: the contents have 76 bytes, the file says 77; it is damaged");
}

TEST_F(IdxFile, BytesBehindTheGzipDataAreRefused) {
  const Values packed = gzip(whole);
  EXPECT_EQ(packed_refusal(joined(packed, Values(20, 'x'))),
            fmt::format("not gzip data: bytes 78 78 at offset {}, not 1f 8b", packed.size()));
  EXPECT_EQ(packed_refusal(joined(packed, {0, 0})),
            fmt::format("gzip data cut short: 2 bytes from offset {}, and the smallest gzip member has 18",
                        packed.size()));
}

// Any bytes either load or are refused with a message; under AddressSanitizer this also finds bad accesses.
TEST_F(IdxFile, MutatedFilesLoadOrAreRefused) {
  std::mt19937 random(20260101);
  const Values packed = gzip(idx_bytes({64, 8, 8}, ramp(4096)), {.name = "n", .level = 9});
  int refused = 0;
  for (int round = 0; round < 600; ++round) {
    const bool is_packed = round % 2 == 0;
    Values bytes = is_packed ? packed : whole;
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes; ++i) {
      const std::size_t at = random() % (i % 2 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 32));
      bytes[at] = static_cast<std::uint8_t>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      const IdxArray array = is_packed ? read_packed(bytes) : read(bytes);
      EXPECT_EQ(array.values.size(), array.header.value_bytes);
    } catch (const DataError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(path.string() + ": "));
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 600);
}

}  // namespace
}  // namespace trainer::data
