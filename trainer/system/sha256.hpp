// SHA-256 (FIPS 180-4), incremental, by libcrypto. It marks checkpoints and data sets so that a changed byte is found.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // libcrypto's EVP_MD_CTX

namespace trainer {

class Sha256 {
 public:
  Sha256();  // throws std::runtime_error where libcrypto has no SHA-256

  // Appends `bytes` to the message. Any split of a message into calls gives the same digest.
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  // The digest of all bytes so far: 64 lower-case hexadecimal digits. The message may be continued
  // afterwards.
  [[nodiscard]] std::string hex() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// The digest of `bytes` alone, as Sha256::hex gives it.
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace trainer
