// The memory of the played devices. Each allocation is a mapping of its own:
//   [no access][band][what was asked for, 256-byte aligned][band][no access]
// The bands are looked at after every launch. Outside of launches and copies nobody may touch any of it, as
// the host may not touch a GPU's memory. Fresh memory holds kPoison, which is a NaN as float, double, half
// and bfloat16 alike.
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
    std::uint64_t number = 0;  // the how manieth allocation of this process
    char* mapping = nullptr;
    std::size_t mapped = 0;
    bool pinned = false;  // of the host: always accessible, without bands
  };

  DeviceMemory() = default;
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* allocate(std::size_t bytes, int device, bool pinned);
  bool release(void* pointer, bool pinned);  // false: no such allocation
  // The allocation that an address lies in or right behind; null for other memory.
  const Block* find(const void* address) const;
  std::ptrdiff_t offset(const void* address) const;  // within the allocation that find() gives
  bool covers(const void* address) const;            // an allocation or what lies around it
  std::string describe(const void* address) const;   // "byte 40 of allocation 3 of 40 bytes"
  std::size_t used(int device) const;
  std::size_t live(bool pinned) const;
  // What the first band that is not whole tells.
  std::optional<std::string> damage() const;
  std::string list() const;  // one line a live allocation

  void open();  // for a launch; may be nested
  void close();
  // For a copy, the allocation that an address lies in, if there is one and not all of them are open.
  void open_at(const void* address) const;
  void close_at(const void* address) const;
  bool is_open() const { return opened_ > 0; }
  void release_all();

 private:
  void protect(int protection) const;
  void protect_at(const void* address, int protection) const;

  std::map<const char*, Block> blocks_;  // by the address that the program was given
  std::uint64_t allocations_ = 0;
  int opened_ = 0;
};

// For the time of its life, all device memory may be touched.
class DeviceAccess {
 public:
  explicit DeviceAccess(DeviceMemory& memory) : memory_(memory) { memory_.open(); }
  ~DeviceAccess() { memory_.close(); }
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  DeviceMemory& memory_;
};

// The same for the allocations of two addresses alone: a call of the system for each of all takes longer than
// a copy.
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
