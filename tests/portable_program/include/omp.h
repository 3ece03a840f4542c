// For compilers without OpenMP: one thread.
#pragma once

#if defined(_OPENMP)
#include_next <omp.h>
#else
inline int omp_get_thread_num() {
  return 0;
}
inline int omp_get_num_threads() {
  return 1;
}
#endif
