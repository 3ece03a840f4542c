// The toolkit's own conversions to and from half precision and bfloat16, which its headers also offer to the host
// compiler; emulator_half_test.cpp compares the emulator's with them. This file is compiled with the toolkit's include
// path, never the emulator's.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace trainer::toolkit {

unsigned short to_bfloat16(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
unsigned short to_half(float value) {
  return __half_as_ushort(__float2half_rn(value));
}
float from_bfloat16(unsigned short bits) {
  return __bfloat162float(__ushort_as_bfloat16(bits));
}
float from_half(unsigned short bits) {
  return __half2float(__ushort_as_half(bits));
}

}  // namespace trainer::toolkit
