// Named ranges for NVIDIA's profilers (nsys), through NVIDIA's library where it is found at run time; nothing
// happens where it is not.
#pragma once

#include <memory>
#include <string>

namespace trainer {

class NvtxRanges {
 public:
  NvtxRanges();
  ~NvtxRanges();
  NvtxRanges(const NvtxRanges&) = delete;
  NvtxRanges& operator=(const NvtxRanges&) = delete;

  void push(const std::string& name);
  void pop();

 private:
  struct Library;
  std::unique_ptr<Library> library_;  // null: not found
};

}  // namespace trainer
