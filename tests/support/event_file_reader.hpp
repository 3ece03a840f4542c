// Reads the frame of TensorBoard's event files, bit by bit and without the product's code: the messages of the whole records.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer::test {

inline std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte)
    value = value << 8U | static_cast<std::uint8_t>(*byte);
  return value;
}

// CRC-32C by polynomial division.
inline std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t rest = 0xFFFFFFFF;
  for (const char byte : bytes) {
    rest ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) rest = rest % 2 == 0 ? rest / 2 : rest / 2 ^ 0x82F63B78U;
  }
  return ~rest;
}

inline std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return static_cast<std::uint32_t>(crc / 32768 + crc * std::uint64_t{131072} + 0xA282EAD8U);
}

struct EventFile {
  std::vector<std::string> messages;
  std::size_t left = 0;  // bytes behind the last whole record
  bool damaged = false;  // a whole record with a wrong checksum
};

inline EventFile read_event_file(std::string_view bytes) {
  EventFile file;
  while (bytes.size() >= 12) {
    if (little_endian(bytes.substr(8, 4)) != masked_crc(bytes.substr(0, 8))) file.damaged = true;
    const std::uint64_t length = little_endian(bytes.substr(0, 8));
    if (file.damaged || bytes.size() - 12 < length || bytes.size() - 12 - length < 4) break;
    const std::string_view message = bytes.substr(12, length);
    if (little_endian(bytes.substr(12 + length, 4)) != masked_crc(message)) file.damaged = true;
    if (file.damaged) break;
    file.messages.emplace_back(message);
    bytes.remove_prefix(16 + length);
  }
  file.left = bytes.size();
  return file;
}

}  // namespace trainer::test
