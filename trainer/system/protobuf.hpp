// Writes messages in protobuf's wire format (protobuf.dev/programming-guides/encoding): a field is a key, its number
// and wire type, and a value. A message is built field by field, in any order; an embedded one is built first and then
// added as bytes. Field numbers are those of the .proto file that the caller follows.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trainer {

inline std::string little_endian(std::uint64_t value, int count) {
  std::string bytes;
  for (; count > 0; --count, value >>= 8U) bytes += static_cast<char>(value & 0xFFU);
  return bytes;
}

class ProtobufMessage {
 public:
  // int32, int64, uint64, bool and enum; a negative value takes ten bytes, as protobuf wants it.
  ProtobufMessage& integer(int field, std::int64_t value) {
    key(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }

  ProtobufMessage& float32(int field, float value) {
    key(field, kFixed32);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value), 4);
    return *this;
  }

  ProtobufMessage& float64(int field, double value) {
    key(field, kFixed64);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return *this;
  }

  // A string or bytes; text must be UTF-8.
  ProtobufMessage& bytes(int field, std::string_view value) {
    key(field, kLength);
    varint(value.size());
    bytes_ += value;
    return *this;
  }

  ProtobufMessage& message(int field, const ProtobufMessage& value) { return bytes(field, value.bytes_); }

  // A repeated double, packed.
  ProtobufMessage& packed(int field, std::span<const double> values) {
    ProtobufMessage all;
    for (const double value : values) all.bytes_ += little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return message(field, all);
  }

  [[nodiscard]] const std::string& data() const { return bytes_; }

 private:
  enum WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

  void key(int field, WireType type) { varint((static_cast<std::uint64_t>(field) << 3U) | type); }

  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>((value & 0x7FU) | 0x80U);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace trainer
