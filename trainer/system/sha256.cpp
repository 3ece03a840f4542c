#include "trainer/system/sha256.hpp"

#include <array>
#include <fmt/ranges.h>
#include <new>
#include <openssl/evp.h>
#include <stdexcept>

namespace trainer {
namespace {

void check(int success) {
  if (success != 1)
    throw std::runtime_error("libcrypto computes no SHA-256: it is short of memory, or lacks its provider");
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Sha256::hex() const {
  Sha256 last;
  std::array<unsigned char, 32> digest{};
  check(EVP_MD_CTX_copy_ex(last.context_.get(), context_.get()));
  check(EVP_DigestFinal_ex(last.context_.get(), digest.data(), nullptr));
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

}  // namespace trainer
