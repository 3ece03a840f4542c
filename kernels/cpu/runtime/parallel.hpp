// The one way in which the CPU engine uses its threads: a range is cut into one contiguous range a thread,
// always in the same way, so that a result depends on the number of threads alone. OpenMP's pool is oneDNN's
// as well: no second one is ever started.
#pragma once

#include <cstddef>
#include <omp.h>

namespace trainer::cpu {

struct Range {
  std::size_t begin;
  std::size_t end;
  int thread;
};

// Range `thread` of `threads` of 0 .. count - 1, cut at multiples of `grain`.
inline Range range_of(std::size_t count, std::size_t grain, int thread, int threads) {
  const std::size_t grains = (count + grain - 1) / grain;
  const auto cut = [&](int t) {
    const std::size_t at = grains * static_cast<std::size_t>(t) / static_cast<std::size_t>(threads) * grain;
    return at < count ? at : count;
  };
  return {cut(thread), cut(thread + 1), thread};
}

// Calls body(Range) once for each range that has work, each on a thread of its own.
template <typename Body>
void parallel(std::size_t count, std::size_t grain, int threads, const Body& body) {
  if (threads == 1 || count <= grain) {
    body(Range{0, count, 0});
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    // Every range is done by somebody even where the team is smaller than was asked for.
    for (int t = omp_get_thread_num(); t < threads; t += omp_get_num_threads()) {
      const Range range = range_of(count, grain, t, threads);
      if (range.begin < range.end) body(range);
    }
  }
}

}  // namespace trainer::cpu
