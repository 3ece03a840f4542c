// The memory of the emulated devices. Each allocation is a separate mapping:
//   [no access][band][the requested bytes, 256-byte aligned][band][no access]
// The bands are checked after every launch. Outside of launches and copies none of it is accessible, just as the host
// cannot access a GPU's memory. Fresh memory and the bands hold kPoison, which is a NaN as float, double, half and bfloat16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace emulator {

class DeviceMemory {
 public:
  static constexpr std::uint32_t kPoison = 0x7FF57FF5;

  struct Block {
    std::size_t bytes = 0;
    int device = 0;
    std::uint64_t number = 0;  // counts the process's allocations
    char* mapping = nullptr;
    std::size_t mapped = 0;
    bool pinned = false;  // host memory: always accessible, without bands
  };

  DeviceMemory() = default;
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* allocate(std::size_t bytes, int device, bool pinned);
  bool release(void* pointer, bool pinned);  // false: no such allocation
  // The allocation that contains an address or ends right before it; null for other memory.
  const Block* find(const void* address) const;
  std::ptrdiff_t offset(const void* address) const;  // within the allocation that find() returns
  bool covers(const void* address) const;            // whether it is in an allocation or the pages around it
  std::string describe(const void* address) const;   // "byte 40 of allocation 3 of 40 bytes"
  std::size_t used(int device) const;
  std::size_t live(bool pinned) const;
  // Describes the first overwritten band.
  std::optional<std::string> damage() const;
  std::string list() const;  // one line for each live allocation

  void open();  // for a launch; may be nested
  void close();
  // For a copy, opens the allocation that contains an address, if there is one and not all of them are open.
  void open_at(const void* address) const;
  void close_at(const void* address) const;
  bool is_open() const { return opened_ > 0; }
  void release_all();

 private:
  void protect(int protection) const;
  void protect_at(const void* address, int protection) const;

  std::map<const char*, Block> blocks_;  // by the address that the program got
  std::uint64_t allocations_ = 0;
  int opened_ = 0;
};

// While it exists, all device memory is accessible.
class DeviceAccess {
 public:
  explicit DeviceAccess(DeviceMemory& memory) : memory_(memory) { memory_.open(); }
  ~DeviceAccess() { memory_.close(); }
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  DeviceMemory& memory_;
};

// The same for the allocations of two addresses only: a system call for every allocation would take longer than a copy.
class CopyAccess {
 public:
  CopyAccess(const DeviceMemory& memory, const void* to, const void* from)
      : memory_(memory), to_(to), from_(from) {
    memory_.open_at(to_);
    memory_.open_at(from_);
  }
  ~CopyAccess() {
    memory_.close_at(to_);
    memory_.close_at(from_);
  }
  CopyAccess(const CopyAccess&) = delete;
  CopyAccess& operator=(const CopyAccess&) = delete;

 private:
  const DeviceMemory& memory_;
  const void* to_;
  const void* from_;
};

}  // namespace emulator
