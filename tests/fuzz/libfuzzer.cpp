// The driver for libFuzzer: `fuzz --target=NAME [OPTIONS OF LIBFUZZER] FOLDER...`; scripts/fuzz.sh calls it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/targets.hpp"

namespace {

using trainer::fuzz::FuzzTarget;

// A fault that every run must find before it is trusted: behind "FUZ" it reads the byte after the last one.
bool planted(trainer::fuzz::ByteSpan input) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), copy.get());
  return input.size() >= 3 && copy[0] == 'F' && copy[1] == 'U' && copy[2] == 'Z' && copy[input.size()] == '!';
}

constexpr FuzzTarget kPlanted{"planted", planted, nullptr, 64};
const FuzzTarget* target = nullptr;

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--target=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view word = (*argv)[i];
    if (!word.starts_with(kOption)) continue;
    if (word.substr(kOption.size()) == kPlanted.name) target = &kPlanted;
    for (const FuzzTarget& one : trainer::fuzz::fuzz_targets())
      if (word.substr(kOption.size()) == one.name) target = &one;
  }
  if (target != nullptr) {
    static std::vector<char*> words(*argv, *argv + *argc);
    static std::string longest = "-max_len=" + std::to_string(target->longest);
    std::erase_if(words, [&](std::string_view word) { return word.starts_with(kOption); });
    words.insert(words.begin() + 1, longest.data());
    *argc = static_cast<int>(words.size());
    words.push_back(nullptr);
    *argv = words.data();
    return 0;
  }
  std::fputs("error: --target=NAME: one of", stderr);
  for (const FuzzTarget& one : trainer::fuzz::fuzz_targets()) std::fprintf(stderr, " %s", one.name);
  std::fputs("\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= target->longest) (void)target->run({data, size});
  return 0;
}

// In half of the inputs the checksums are made right, or no mutation would pass them.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (target->repaired == nullptr || seed % 2 == 0) return size;
  const std::vector<std::uint8_t> repaired = target->repaired({data, data + size});
  if (repaired.size() > most) return size;
  std::memcpy(data, repaired.data(), repaired.size());
  return repaired.size();
}
