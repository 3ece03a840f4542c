// The one way in which the CPU engine uses its threads: it divides 0 .. count - 1 into one contiguous range per
// thread, always in the same way, so that a result depends only on the number of threads. oneDNN uses the same
// OpenMP pool: no second one is ever started.
#pragma once

#include <cstddef>
#include <omp.h>

namespace trainer::cpu {

// The number of cores that this process may use: the affinity mask, limited by the CPU quota of its control groups, rounded up. At least 1.
int usable_cores();

struct Range {
  std::size_t begin;
  std::size_t end;
  int thread;
};

// The range of `thread` when `threads` of them divide 0 .. count - 1 at multiples of `grain`.
inline Range range_of(std::size_t count, std::size_t grain, int thread, int threads) {
  const std::size_t grains = (count + grain - 1) / grain;
  const auto cut = [&](int t) {
    const std::size_t at = grains * static_cast<std::size_t>(t) / static_cast<std::size_t>(threads) * grain;
    return at < count ? at : count;
  };
  return {cut(thread), cut(thread + 1), thread};
}

// Calls body(Range) once for each range that is not empty, each on a thread of its own.
template <typename Body>
void parallel(std::size_t count, std::size_t grain, int threads, const Body& body) {
  if (threads == 1 || count <= grain) {
    body(Range{0, count, 0});
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    // Every range is processed even if the team is smaller than requested.
    for (int t = omp_get_thread_num(); t < threads; t += omp_get_num_threads()) {
      const Range range = range_of(count, grain, t, threads);
      if (range.begin < range.end) body(range);
    }
  }
}

}  // namespace trainer::cpu
