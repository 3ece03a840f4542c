// GPUs that need not be there: one card of each architecture that the program is built for, as cuDNN wants it
// described (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION). The figures are those of the cards' data sheets and
// of cudaDeviceProp.
#pragma once

#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <ostream>
#include <string>

namespace trainer::test {

struct DescribedGpu {
  int architecture = 0;  // 75: sm_75
  int multiprocessors = 0;
  int shared_bytes = 0;  // a block may opt in to
  int l2_mebibytes = 0;
  int threads = 0;  // resident on a multiprocessor
  int blocks = 0;   // likewise
  const char* name = "";
};

inline void PrintTo(const DescribedGpu& gpu, std::ostream* out) {
  *out << gpu.name;
}

inline constexpr std::array<DescribedGpu, 7> kDescribedGpus = {{
    {75, 40, 65536, 4, 1024, 16, "Tesla T4"},
    {80, 108, 166912, 40, 2048, 32, "NVIDIA A100-SXM4-80GB"},
    {86, 28, 101376, 3, 1536, 16, "NVIDIA GeForce RTX 3060"},
    {89, 128, 101376, 72, 1536, 24, "NVIDIA GeForce RTX 4090"},
    {90, 132, 232448, 50, 2048, 32, "NVIDIA H200"},
    {100, 148, 232448, 126, 2048, 32, "NVIDIA B200"},
    {120, 170, 101376, 96, 1536, 24, "NVIDIA GeForce RTX 5090"},
}};

inline std::string properties_json(const DescribedGpu& gpu) {
  return fmt::format(
      R"({{"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
      R"("multiProcessorCount":{},"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},)"
      R"("reservedSharedMemoryPerBlock":{},"maxRegistersPerSM":65536,"maxCtasPerSM":{},"maxThreadsPerBlock":1024,)"
      R"("maxThreadsPerSM":{},"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"totalGlobalMem":{},)"
      R"("smClockRateKHz":1980000,"memClockRateKHz":3201000,"l2CacheSize":{},"cudaDeviceId":0,"deviceVer":{},)"
      R"("driverVer":13000,"deviceName":"{}"}})",
      gpu.multiprocessors, gpu.shared_bytes, gpu.architecture >= 80 ? 1024 : 0, gpu.blocks, gpu.threads,
      std::int64_t{16} << 30U, gpu.l2_mebibytes << 20U, gpu.architecture * 10, gpu.name);
}

}  // namespace trainer::test
