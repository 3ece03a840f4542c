// The expected bytes are the examples of protobuf's own description of its encoding, and values packed by hand.
#include "trainer/system/protobuf.hpp"

#include <array>
#include <gtest/gtest.h>
#include <string>

namespace trainer {
namespace {

using namespace std::string_literals;

TEST(Protobuf, IntegersAreVarints) {
  EXPECT_EQ(ProtobufMessage().integer(1, 150).data(), "\x08\x96\x01"s);
  EXPECT_EQ(ProtobufMessage().integer(1, 0).data(), "\x08\x00"s);
  EXPECT_EQ(ProtobufMessage().integer(1, -2).data(), "\x08\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s);
}

TEST(Protobuf, AFieldNumberAbove15TakesTwoBytes) {
  EXPECT_EQ(ProtobufMessage().integer(20, 1).data(), "\xA0\x01\x01"s);
}

TEST(Protobuf, FloatsAreLittleEndian) {
  EXPECT_EQ(ProtobufMessage().float32(2, 1.5F).data(), "\x15\x00\x00\xC0\x3F"s);
  EXPECT_EQ(ProtobufMessage().float64(1, -2.0).data(), "\x09\x00\x00\x00\x00\x00\x00\x00\xC0"s);
}

TEST(Protobuf, StringsAndMessagesHaveALength) {
  EXPECT_EQ(ProtobufMessage().bytes(2, "testing").data(), "\x12\x07testing"s);
  EXPECT_EQ(ProtobufMessage().message(3, ProtobufMessage().integer(1, 150)).data(), "\x1A\x03\x08\x96\x01"s);
  EXPECT_EQ(ProtobufMessage().bytes(1, std::string(300, 'x')).data(), "\x0A\xAC\x02" + std::string(300, 'x'));
}

TEST(Protobuf, RepeatedDoublesArePacked) {
  const std::array<double, 2> values = {1.0, -2.0};
  EXPECT_EQ(ProtobufMessage().packed(6, values).data(), "\x32\x10\0\0\0\0\0\0\xF0\x3F\0\0\0\0\0\0\0\xC0"s);
}

}  // namespace
}  // namespace trainer
