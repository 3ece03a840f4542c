// scripts/same_bits.sh includes this file before everything else: SAME_BITS_LOOPS=v2 or v3 in the environment keeps the program
// from using loops for newer instruction sets. It has only directives, so that precompiled headers stay usable.
#define __builtin_cpu_supports(name)                                    \
  (__builtin_cpu_supports(name) && [] {                                 \
    extern char* same_bits_environment(const char*) __asm__("getenv");  \
    const char* newest = same_bits_environment("SAME_BITS_LOOPS");      \
    return newest == nullptr || (newest[1] == '3' && (name)[3] != '5'); \
  }())
