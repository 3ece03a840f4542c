// What the tests of the GPU's bits share: the number of repeats, and the file that records the resulting bits, so that
// a plain build and one with jitter (kernels/cuda/device_code/last_block.cuh), or two processes, can be compared.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/emulator/sanitizer.hpp"
#include "tests/support/backends.hpp"
#ifdef TRAINER_BITS_EMULATED
#include "tests/emulator/emulator.hpp"
#endif

namespace trainer::test {

using Bytes = std::vector<std::uint8_t>;

// A few repeats are enough on an emulated device, whose blocks run in another order at each launch.
#ifdef TRAINER_BITS_EMULATED
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif
constexpr int kRepeats = kEmulated ? 3 : 200;
constexpr int kEmulatedBatch = 72;  // it gets the long tiles of full batches

// Muon on sprint's dense layer takes long on an emulated device, where each fp32 product costs three.
inline bool is_left_out(const std::string& network, BackendKind kind) {
  return kEmulated && network == "sprint" && kind == kGpu;
}

// The networks' folder: TRAINER_MODELS names it on a machine that this program was copied to.
inline std::string models_folder() {
  const char* folder = std::getenv("TRAINER_MODELS");
  return folder == nullptr ? TRAINER_SOURCE_DIR "/models" : folder;
}

inline int batch_of(int recipe) {
  return kEmulated ? std::min(recipe, kEmulatedBatch) : recipe;
}

// Every precision that the GPU has; only fp32 without a GPU, so that there is a test to skip. Under AddressSanitizer,
// which makes an emulated device slow, TF32 stands for all.
inline std::vector<BackendKind> gpu_kinds() {
  if (kEmulated && emulator::kAddressSanitizer) return {BackendKind::cuda_tf32};
  std::vector<BackendKind> kinds{kGpu};
  for (const BackendKind kind : rounding_backends()) {
    if (kind != BackendKind::cpu_bf16) kinds.push_back(kind);
  }
  return kinds;
}

// Adds the line "NAME HASH" to the file that TRAINER_BITS_OUT names; the hash is 64-bit FNV-1a.
inline void note_bits(const std::string& name, const Bytes& bytes) {
  static std::ofstream file = [] {
    const char* path = std::getenv("TRAINER_BITS_OUT");
    return path == nullptr ? std::ofstream() : std::ofstream(path);
  }();
  if (!file.is_open()) return;
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3U;
  file << fmt::format("{} {:016x}\n", name, hash) << std::flush;
}

// Base of the fixtures: an emulated device has enough multiprocessors to divide every sum among blocks.
class OnManyBlocks : public OnGpu {
 protected:
  void SetUp() override {
#ifdef TRAINER_BITS_EMULATED
    emulator::reset();
    emulator::Machine machine;
    machine.devices[0].multiprocessors = 16;
    emulator::play(machine);
#endif
    OnGpu::SetUp();
  }
};

template <typename T>
void append(Bytes& bytes, const std::vector<T>& values) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(values.data());
  bytes.insert(bytes.end(), first, first + values.size() * sizeof(T));
}

// Uniform in (-reach, reach).
inline std::vector<float> uniform(std::size_t count, std::mt19937& random, double reach) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(reach * (random() * 0x1p-31 - 1));
  return values;
}

// Runs two inputs in turn; `run(set)` returns the bytes that set 0 or 1 leaves. Between two runs of one set, all
// scratch memory holds the other set's values, so reads that come too early and missing writes are detected.
template <typename Run>
void expect_same_bits_each_time(const std::string& name, const Run& run) {
  Bytes first[2];
  int different = 0;
  for (int i = 0; i < kRepeats; ++i) {
    Bytes bytes = run(i % 2);
    if (i < 2) {
      first[i] = std::move(bytes);
    } else if (bytes != first[i % 2]) {
      ++different;
    }
  }
  EXPECT_EQ(different, 0) << name << ": runs of " << kRepeats << " whose bits are others";
  EXPECT_NE(first[0], first[1]) << name << ": the inputs leave no trace";
  append(first[0], first[1]);
  note_bits(name, first[0]);
}

}  // namespace trainer::test
