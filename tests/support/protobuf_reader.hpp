// Reads messages in protobuf's wire format, to look into the files that the program writes. What is not such a message throws
// std::runtime_error.
#pragma once

#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trainer::test {

// One value: a number (of a varint or of 4 or 8 bytes, as bits), or the bytes of a text or an embedded message.
struct ProtobufField {
  int number = 0;
  std::uint64_t bits = 0;
  std::string bytes;

  float float32() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }
  double float64() const { return std::bit_cast<double>(bits); }
  std::int64_t integer() const { return static_cast<std::int64_t>(bits); }
};

class ReadProtobuf {
 public:
  explicit ReadProtobuf(std::string_view bytes) : rest_(bytes) {
    while (!rest_.empty()) {
      const std::uint64_t key = varint();
      ProtobufField field{static_cast<int>(key >> 3U), 0, {}};
      switch (key & 7U) {
        case 0:
          field.bits = varint();
          break;
        case 1:
          field.bits = little_endian(8);
          break;
        case 2:
          field.bytes = take(varint());
          break;
        case 5:
          field.bits = little_endian(4);
          break;
        default:
          throw std::runtime_error("an unknown wire type");
      }
      fields_.push_back(std::move(field));
    }
  }

  const std::vector<ProtobufField>& fields() const { return fields_; }

  // The values of a repeated field.
  std::vector<ProtobufField> all(int number) const {
    std::vector<ProtobufField> found;
    for (const ProtobufField& field : fields_)
      if (field.number == number) found.push_back(field);
    return found;
  }

  // The last value of a field, as protobuf takes it; 0 and "" if there is none.
  ProtobufField at(int number) const {
    const std::vector<ProtobufField> found = all(number);
    return found.empty() ? ProtobufField{number, 0, {}} : found.back();
  }
  ReadProtobuf message(int number) const { return ReadProtobuf(at(number).bytes); }
  std::vector<ReadProtobuf> messages(int number) const {
    std::vector<ReadProtobuf> found;
    for (const ProtobufField& field : all(number)) found.emplace_back(field.bytes);
    return found;
  }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) throw std::runtime_error("a value ends after its message");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    throw std::runtime_error("a varint of more than ten bytes");
  }

  std::uint64_t little_endian(unsigned count) {
    const std::string_view bytes = take(count);
    std::uint64_t value = 0;
    for (unsigned i = 0; i < count; ++i)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return value;
  }

  std::string_view rest_;
  std::vector<ProtobufField> fields_;
};

}  // namespace trainer::test
