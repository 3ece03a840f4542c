// The compression function follows FIPS 180-4, section 6.2.2. The message schedule is a ring of sixteen words
// that advances between groups of rounds, so that it stays in the first cache; names are the standard's.
#include "trainer/system/sha256.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trainer {
namespace {

constexpr std::array<std::uint32_t, 64> kRoundConstants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t load_big_endian(const std::byte* bytes) {
  return std::to_integer<std::uint32_t>(bytes[0]) << 24 | std::to_integer<std::uint32_t>(bytes[1]) << 16 |
         std::to_integer<std::uint32_t>(bytes[2]) << 8 | std::to_integer<std::uint32_t>(bytes[3]);
}

std::uint32_t big_sigma0(std::uint32_t x) {
  return std::rotr(x, 2) ^ std::rotr(x, 13) ^ std::rotr(x, 22);
}
std::uint32_t big_sigma1(std::uint32_t x) {
  return std::rotr(x, 6) ^ std::rotr(x, 11) ^ std::rotr(x, 25);
}
std::uint32_t small_sigma0(std::uint32_t x) {
  return std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3);
}
std::uint32_t small_sigma1(std::uint32_t x) {
  return std::rotr(x, 17) ^ std::rotr(x, 19) ^ (x >> 10);
}

// The next sixteen words of the message schedule, in place of the sixteen before.
inline void advance_schedule(std::array<std::uint32_t, 16>& w) {
  for (std::size_t t = 0; t < 16; ++t)
    w[t] += small_sigma1(w[(t + 14) % 16]) + w[(t + 9) % 16] + small_sigma0(w[(t + 1) % 16]);
}

// One round. Only d and h change; the caller rotates the names instead of the values.
inline void round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t& d, std::uint32_t e,
                  std::uint32_t f, std::uint32_t g, std::uint32_t& h, std::uint32_t constant_and_word) {
  const std::uint32_t t1 = h + big_sigma1(e) + (g ^ (e & (f ^ g))) + constant_and_word;
  d += t1;
  h = t1 + big_sigma0(a) + ((a & b) | (c & (a | b)));
}

}  // namespace

void Sha256::compress(const std::byte* block) {
  std::array<std::uint32_t, 16> w{};
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = load_big_endian(block + 4 * i);
  auto [a, b, c, d, e, f, g, h] = state_;
  const std::uint32_t* constants = kRoundConstants.data();
  for (std::size_t sixteen = 0; sixteen < 4; ++sixteen, constants += 16) {
    if (sixteen > 0) advance_schedule(w);
    for (std::size_t t = 0; t < 16; t += 8) {
      round(a, b, c, d, e, f, g, h, constants[t] + w[t]);
      round(h, a, b, c, d, e, f, g, constants[t + 1] + w[t + 1]);
      round(g, h, a, b, c, d, e, f, constants[t + 2] + w[t + 2]);
      round(f, g, h, a, b, c, d, e, constants[t + 3] + w[t + 3]);
      round(e, f, g, h, a, b, c, d, constants[t + 4] + w[t + 4]);
      round(d, e, f, g, h, a, b, c, constants[t + 5] + w[t + 5]);
      round(c, d, e, f, g, h, a, b, constants[t + 6] + w[t + 6]);
      round(b, c, d, e, f, g, h, a, constants[t + 7] + w[t + 7]);
    }
  }
  const std::array<std::uint32_t, 8> added{a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += added[i];
}

void Sha256::update(std::span<const std::byte> bytes) {
  total_bytes_ += bytes.size();
  if (pending_bytes_ > 0) {
    const std::size_t taken = std::min(bytes.size(), kBlockBytes - pending_bytes_);
    std::copy_n(bytes.begin(), taken, pending_.begin() + static_cast<std::ptrdiff_t>(pending_bytes_));
    pending_bytes_ += taken;
    bytes = bytes.subspan(taken);
    if (pending_bytes_ < kBlockBytes) return;
    compress(pending_.data());
    pending_bytes_ = 0;
  }
  for (; bytes.size() >= kBlockBytes; bytes = bytes.subspan(kBlockBytes)) compress(bytes.data());
  std::copy(bytes.begin(), bytes.end(), pending_.begin());
  pending_bytes_ = bytes.size();
}

std::string Sha256::hex() const {
  Sha256 last = *this;
  std::array<std::byte, 2 * kBlockBytes> padding{std::byte{0x80}};
  const std::size_t zeros_end =
      (pending_bytes_ < kBlockBytes - 8 ? kBlockBytes : 2 * kBlockBytes) - pending_bytes_;
  const std::uint64_t bits = total_bytes_ * 8;
  for (std::size_t i = 0; i < 8; ++i) padding[zeros_end - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  last.update(std::span(padding).first(zeros_end));

  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const std::uint32_t word : last.state_)
    for (int shift = 28; shift >= 0; shift -= 4) text.push_back(kDigits[(word >> shift) & 15U]);
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

}  // namespace trainer
