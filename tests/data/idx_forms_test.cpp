// IDX files in the forms in which people have them: packed twice or under another name, and QMNIST's labels.
#include <gtest/gtest.h>

#include "data/idx.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/gzip_writer.hpp"
#include "tests/data/idx_files.hpp"

namespace trainer::data {
namespace {

using test::error_of;
using test::gzip;
using test::idx_bytes;
using test::TemporaryFolder;
using Values = std::vector<std::uint8_t>;

class IdxForms : public ::testing::Test {
 protected:
  IdxArray read(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return read_idx(folder.write("a-file", bytes), content);
  }
  IdxArray read_packed(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return read_idx(folder.write("a-file.gz", bytes), content);
  }
  // The message without the path that it begins with.
  std::string refusal(const Values& bytes, IdxContent content = IdxContent::kImages) {
    return error_of([&] { read(bytes, content); }).substr((folder / "a-file: ").string().size());
  }
  std::string packed_refusal(const Values& bytes) {
    return error_of([&] { read_packed(bytes); }).substr((folder / "a-file.gz: ").string().size());
  }

  TemporaryFolder folder;
  const Values whole = idx_bytes({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
};

TEST_F(IdxForms, ContentsDecideHowItIsPackedNotTheName) {
  const IdxArray plain = read(whole);
  EXPECT_EQ(read(gzip(whole)).values, plain.values);
  EXPECT_EQ(read_packed(whole).values, plain.values);
  EXPECT_EQ(read_packed(gzip(gzip(whole))).values, plain.values);
  EXPECT_EQ(read(gzip(gzip(whole))).values, plain.values);
}

TEST_F(IdxForms, WhatIsPackedTwiceMayNotGrowWithoutLimit) {
  Values inner{0x1f, 0x8b};
  inner.resize(9'000'000);
  EXPECT_EQ(packed_refusal(gzip(inner)), "gzip data within gzip data that is 16 times longer; unpack it");
}

// QMNIST: rows of 32-bit numbers, of which the first is the class.
Values wide_labels(const Values& classes, std::uint32_t columns) {
  Values bytes = idx_bytes({static_cast<std::uint32_t>(classes.size()), columns}, {});
  bytes[2] = 0x0c;
  for (const std::uint8_t label : classes) {
    for (std::uint32_t column = 0; column < columns; ++column)
      bytes.insert(bytes.end(),
                   {0, 0, static_cast<std::uint8_t>(column), column == 0 ? label : std::uint8_t{9}});
  }
  return bytes;
}

TEST_F(IdxForms, LabelsOfSeveralNumbersAreReducedToTheClass) {
  const Values classes{7, 0, 255, 3};
  for (const std::uint32_t columns : {1U, 8U, 64U}) {
    const IdxArray labels = read_packed(gzip(wide_labels(classes, columns)), IdxContent::kLabels);
    EXPECT_EQ(Values(labels.values.begin(), labels.values.end()), classes) << columns;
    EXPECT_EQ(labels.header.value_bytes, 4U);
  }
  Values flat = idx_bytes({2}, {0, 0, 0, 7, 0, 0, 1, 0});
  flat[2] = 0x0c;
  EXPECT_EQ(refusal(flat, IdxContent::kLabels), "label 256 at position 1; labels from 0 to 255 are read");
  flat[14] = 0;
  EXPECT_EQ(read_packed(gzip(flat), IdxContent::kLabels).values[0], 7);
  EXPECT_EQ(refusal(wide_labels(classes, 65), IdxContent::kLabels),
            "labels of 65 numbers each; 1 to 64 are read");
  EXPECT_EQ(refusal(wide_labels(classes, 0), IdxContent::kLabels),
            "labels of 0 numbers each; 1 to 64 are read");
  Values bytes = wide_labels(classes, 8);
  bytes.pop_back();
  EXPECT_EQ(refusal(bytes, IdxContent::kLabels),
            "too short: the IDX header says 4x8, which makes 140 bytes, but the file has 139");
  bytes = wide_labels(classes, 8);
  bytes[12 + 32] = 0xff;
  EXPECT_EQ(refusal(bytes, IdxContent::kLabels),
            "label -16777216 at position 1; labels from 0 to 255 are read");
  EXPECT_EQ(refusal(wide_labels(classes, 8)), "IDX elements of type 0x0c; only 0x08 (unsigned byte) is read");
}

}  // namespace
}  // namespace trainer::data
