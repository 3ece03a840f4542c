// Included before everything else by scripts/same_bits.sh: the environment's SAME_BITS_LOOPS=v2 or v3 keeps the program
// from loops for newer instruction sets than that. Directives alone, so that precompiled headers stay of use.
#define __builtin_cpu_supports(name)                                    \
  (__builtin_cpu_supports(name) && [] {                                 \
    extern char* same_bits_environment(const char*) __asm__("getenv");  \
    const char* newest = same_bits_environment("SAME_BITS_LOOPS");      \
    return newest == nullptr || (newest[1] == '3' && (name)[3] != '5'); \
  }())
