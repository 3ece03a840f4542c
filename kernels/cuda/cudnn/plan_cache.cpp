#include "kernels/cuda/cudnn/plan_cache.hpp"

#include <cstdint>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace trainer::cuda {

namespace {

constexpr std::uintmax_t kMostBytes = 64U << 20U;  // a plan with its machine code has a few hundred thousand

// FNV-1a, 64 bits: detects damage and other keys; it is no defence against forgery.
std::uint64_t checksum(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::string head(const std::string& key, std::string_view text) {
  return fmt::format("{}\n{:016x}\n", key, checksum(text));
}

std::string contents(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path) || std::filesystem::file_size(path) > kMostBytes) return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_whole(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::path partial = path;
  partial += fmt::format(".{}.partial", getpid());
  std::error_code failed;
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) std::filesystem::rename(partial, path, failed);
  if (!file || failed) std::filesystem::remove(partial, failed);
}

}  // namespace

std::filesystem::path PlanCache::file_of(const std::string& key) const {
  return folder_ / fmt::format("{:016x}.plan", checksum(key));
}

std::optional<std::string> PlanCache::find(const std::string& key) const noexcept {
  if (folder_.empty()) return std::nullopt;
  try {
    const std::string all = contents(file_of(key));
    const std::size_t text_at = head(key, "").size();
    if (all.size() < text_at) return std::nullopt;
    std::string text = all.substr(text_at);
    if (!all.starts_with(head(key, text))) return std::nullopt;
    return text;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void PlanCache::keep(const std::string& key, const std::string& text) const noexcept {
  if (folder_.empty()) return;
  try {
    std::filesystem::create_directories(folder_);
    write_whole(file_of(key), head(key, text) + text);
  } catch (const std::exception&) {
    return;  // the plan is made again next time
  }
}

}  // namespace trainer::cuda
