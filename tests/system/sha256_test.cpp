// SHA-256 against the vectors of FIPS 180-2 (appendix B) and NIST's short messages.
#include "trainer/system/sha256.hpp"

#include <gtest/gtest.h>
#include <string>

namespace trainer {
namespace {

std::string digest(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

TEST(Sha256, AgreesWithThePublishedVectors) {
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(
      digest(
          "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsm"
          "nopqrstnopqrstu"),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

TEST(Sha256, AgreesOnAMillionLettersInOddPieces) {
  Sha256 hash;
  const std::string piece(997, 'a');
  for (int left = 1'000'000; left > 0; left -= 997)
    hash.update(std::string_view(piece).substr(0, static_cast<std::size_t>(std::min(left, 997))));
  EXPECT_EQ(hash.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, IncrementalEqualsWholeForEveryLengthAndSplit) {
  std::string message;
  for (int length = 0; length <= 150; ++length) {
    for (std::size_t split = 0; split <= message.size(); split += 7) {
      Sha256 hash;
      hash.update(std::string_view(message).substr(0, split));
      hash.update(std::string_view(message).substr(split));
      ASSERT_EQ(hash.hex(), digest(message)) << "length " << length << ", split " << split;
    }
    message.push_back(static_cast<char>(length * 31 + 7));
  }
}

TEST(Sha256, ContinuesAfterADigestWasRead) {
  Sha256 hash;
  hash.update("ab");
  EXPECT_EQ(hash.hex(), digest("ab"));
  hash.update("c");
  EXPECT_EQ(hash.hex(), digest("abc"));
}

}  // namespace
}  // namespace trainer
