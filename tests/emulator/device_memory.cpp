#include "tests/emulator/device_memory.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <new>
#include <sys/mman.h>

#include "tests/emulator/sanitizer.hpp"

namespace emulator {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBand = 256;  // at least; as much as cudaMalloc aligns to

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

EMULATOR_UNCHECKED void fill_words(std::uint32_t* words, std::size_t count, std::uint32_t value) {
  for (std::size_t i = 0; i < count; ++i) words[i] = value;
}

// What a band holds at this address: kPoison, so that a kernel which reads past its buffer computes NaN from it.
char band_byte(const char* at) {
  const auto byte =
      static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(at) % sizeof(DeviceMemory::kPoison));
  return static_cast<char>(DeviceMemory::kPoison >> 8 * byte);
}

EMULATOR_UNCHECKED void fill_band(char* begin, const char* end) {
  for (char* at = begin; at < end; ++at) *at = band_byte(at);
}

EMULATOR_UNCHECKED bool is_whole(const char* begin, const char* end) {
  int difference = 0;
  for (const char* at = begin; at < end; ++at) difference |= *at ^ band_byte(at);
  return difference == 0;
}

// The first byte of a band that was overwritten; null: none was.
EMULATOR_UNCHECKED const char* first_damage(const char* begin, const char* end) {
  if (is_whole(begin, end)) return nullptr;
  while (*begin == band_byte(begin)) ++begin;
  return begin;
}

struct Bands {
  char* before;  // kBand bytes, up to the data
  char* after;
  char* end;
};

Bands bands(const char* data, const DeviceMemory::Block& block) {
  char* start = const_cast<char*>(data);
  return {start - kBand, start + block.bytes, start + whole_pages(block.bytes + kBand)};
}

// Protects all but the outermost pages, which are never accessible.
void protect_one(const DeviceMemory::Block& block, int protection) {
  if (!block.pinned) mprotect(block.mapping + kPage, block.mapped - 2 * kPage, protection);
}

}  // namespace

DeviceMemory::~DeviceMemory() {
  release_all();
}

void DeviceMemory::release_all() {
  while (!blocks_.empty()) {
    const auto& [data, block] = *blocks_.begin();
    release(const_cast<char*>(data), block.pinned);
  }
}

void* DeviceMemory::allocate(std::size_t bytes, int device, bool pinned) {
  Block block{bytes, device, ++allocations_, nullptr, 0, pinned};
  // A page before, the page that ends with the first band, the data with the second band, a page after.
  block.mapped = 2 * kPage + whole_pages(bytes + kBand) + kPage;
  void* mapping = mmap(nullptr, block.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  block.mapping = static_cast<char*>(mapping);
  char* data = block.mapping + 2 * kPage;
  fill_words(reinterpret_cast<std::uint32_t*>(data), (bytes + 3) / 4, kPoison);
  const Bands laid = bands(data, block);
  fill_band(laid.before, data);
  fill_band(laid.after, laid.end);
  mprotect(block.mapping, kPage, PROT_NONE);
  mprotect(block.mapping + block.mapped - kPage, kPage, PROT_NONE);
  forbid_access(laid.before, kBand);
  forbid_access(laid.after, static_cast<std::size_t>(laid.end - laid.after));
  if (!pinned && opened_ == 0) mprotect(block.mapping, block.mapped, PROT_NONE);
  blocks_.emplace(data, block);
  return data;
}

bool DeviceMemory::release(void* pointer, bool pinned) {
  const auto found = blocks_.find(static_cast<const char*>(pointer));
  if (found == blocks_.end() || found->second.pinned != pinned) return false;
  const Block block = found->second;
  blocks_.erase(found);
  allow_access(block.mapping, block.mapped);
  munmap(block.mapping, block.mapped);
  return true;
}

const DeviceMemory::Block* DeviceMemory::find(const void* address) const {
  const auto* wanted = static_cast<const char*>(address);
  auto after = blocks_.upper_bound(wanted);
  if (after == blocks_.begin()) return nullptr;
  const auto& [data, block] = *--after;
  return wanted <= data + block.bytes ? &block : nullptr;
}

std::ptrdiff_t DeviceMemory::offset(const void* address) const {
  return static_cast<const char*>(address) - (find(address)->mapping + 2 * kPage);
}

bool DeviceMemory::covers(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
    return at >= entry.second.mapping && at < entry.second.mapping + entry.second.mapped;
  });
}

std::string DeviceMemory::describe(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  for (const auto& [data, block] : blocks_) {
    if (at < block.mapping || at >= block.mapping + block.mapped) continue;
    return fmt::format("byte {} of allocation {} of {} bytes", at - data, block.number, block.bytes);
  }
  return fmt::format("address {}, where there is no allocation", address);
}

std::size_t DeviceMemory::used(int device) const {
  std::size_t sum = 0;
  for (const auto& [data, block] : blocks_) {
    if (!block.pinned && block.device == device) sum += block.bytes;
  }
  return sum;
}

std::size_t DeviceMemory::live(bool pinned) const {
  return static_cast<std::size_t>(std::count_if(
      blocks_.begin(), blocks_.end(), [&](const auto& entry) { return entry.second.pinned == pinned; }));
}

std::optional<std::string> DeviceMemory::damage() const {
  for (const auto& [data, block] : blocks_) {
    if (block.pinned) continue;
    const Bands laid = bands(data, block);
    if (const char* at = first_damage(laid.before, data); at != nullptr) {
      return fmt::format("byte {} of allocation {} of {} bytes was written", at - data, block.number,
                         block.bytes);
    }
    if (const char* at = first_damage(laid.after, laid.end); at != nullptr) {
      return describe(at) + " was written";
    }
  }
  return std::nullopt;
}

std::string DeviceMemory::list() const {
  std::string lines;
  for (const auto& [data, block] : blocks_) {
    lines += fmt::format("allocation {}: {} bytes of {}\n", block.number, block.bytes,
                         block.pinned ? "pinned host memory" : fmt::format("device {}", block.device));
  }
  return lines;
}

void DeviceMemory::open() {
  if (opened_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void DeviceMemory::close() {
  if (--opened_ == 0) protect(PROT_NONE);
}

void DeviceMemory::open_at(const void* address) const {
  protect_at(address, PROT_READ | PROT_WRITE);
}

void DeviceMemory::close_at(const void* address) const {
  protect_at(address, PROT_NONE);
}

void DeviceMemory::protect(int protection) const {
  for (const auto& [data, block] : blocks_) protect_one(block, protection);
}

void DeviceMemory::protect_at(const void* address, int protection) const {
  if (const Block* block = find(address); block != nullptr && opened_ == 0) protect_one(*block, protection);
}

}  // namespace emulator
