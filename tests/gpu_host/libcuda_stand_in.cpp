// A libcuda.so.1 of two GPUs for gpu_surroundings_test.cpp, with the binary interface of the real one. The variable
// STAND_IN_CUINIT is the code of its start; a context of device 1 is refused with 46.
#include <cstdlib>
#include <cstring>

extern "C" {

int cuInit(unsigned /*flags*/) {
  const char* code = std::getenv("STAND_IN_CUINIT");
  return code == nullptr ? 0 : std::atoi(code);
}

int cuDriverGetVersion(int* version) {
  *version = 12040;
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = 2;
  return 0;
}

int cuDeviceGetName(char* name, int length, int device) {
  std::strncpy(name, device == 0 ? "NVIDIA H200" : "Tesla V100", static_cast<std::size_t>(length));
  return device < 2 ? 0 : 101;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (attribute == 75) *value = device == 0 ? 9 : 7;
  if (attribute == 76) *value = 0;
  if (attribute == 20) *value = device == 0 ? 0 : 3;
  return device < 2 ? 0 : 101;
}

int cuDeviceGetPCIBusId(char* text, int length, int device) {
  std::strncpy(text, device == 0 ? "0000:C1:00.0" : "0000:C2:00.0", static_cast<std::size_t>(length));
  return 0;
}

int cuDevicePrimaryCtxRetain(void** /*context*/, int device) {
  return device == 0 ? 0 : 46;
}

int cuDevicePrimaryCtxRelease_v2(int /*device*/) {
  return 0;
}

int cuGetErrorString(int code, const char** text) {
  *text = code == 803 ? "system has unsupported display driver / cuda driver combination" : nullptr;
  return *text != nullptr ? 0 : 1;
}
}
