// SHA-256 (FIPS 180-4), incremental and portable. It marks checkpoints and data sets so that a changed byte
// is found. It is our own because nothing else is wanted of a cryptography library; the tests hold it to the
// published vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trainer {

class Sha256 {
 public:
  // Appends `bytes` to the message. Any split of a message into calls gives the same digest.
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  // The digest of all bytes so far: 64 lower-case hexadecimal digits. The message may be continued
  // afterwards.
  [[nodiscard]] std::string hex() const;

 private:
  static constexpr std::size_t kBlockBytes = 64;

  void compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, kBlockBytes> pending_{};  // the start of a block that is not full yet
  std::size_t pending_bytes_ = 0;                 // < kBlockBytes
  std::uint64_t total_bytes_ = 0;
};

// The digest of one piece of memory, as Sha256::hex gives it.
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace trainer
