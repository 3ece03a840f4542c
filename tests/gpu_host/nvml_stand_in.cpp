// A libnvidia-ml.so.1 for nvml_test.cpp, with the binary interface of the real one. It knows the
// older name of the clock reasons only, answers "not supported" (3) for the energy, and has no
// nvmlDeviceGetMigMode, as a K80's has. A second GPU, 0000:0a:00.0, tells its energy: 1.5 J more each time; so do
// the GPUs of libcuda_stand_in.cpp, 0000:c1:00.0 and 0000:c2:00.0.
// The variable STAND_IN_NVML may be "hangs" or "dies", which is what its start does then.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

extern "C" {

struct nvmlUtilization_t {
  unsigned gpu;
  unsigned memory;
};

struct nvmlMemory_t {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

static int k80 = 0;
static int volta = 0;

int nvmlInit_v2() {
  const char* what = std::getenv("STAND_IN_NVML");
  if (what != nullptr && std::strcmp(what, "dies") == 0) std::raise(SIGKILL);
  while (what != nullptr && std::strcmp(what, "hangs") == 0) pause();
  return 0;
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return 0;
}

int nvmlShutdown() {
  return 0;
}

int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  std::strncpy(version, "470.82.01", length);
  return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  if (std::strcmp(id, "06c3:00:00.0") == 0) {
    *device = &k80;
  } else if (std::strcmp(id, "0000:0a:00.0") == 0 || std::strncmp(id, "0000:c", 6) == 0) {
    *device = &volta;
  } else {
    return 6;  // NVML_ERROR_NOT_FOUND
  }
  return 0;
}

int nvmlDeviceGetPowerUsage(void* /*device*/, unsigned* milliwatts) {
  *milliwatts = 61500;
  return 0;
}

int nvmlDeviceGetEnforcedPowerLimit(void* /*device*/, unsigned* milliwatts) {
  *milliwatts = 149000;
  return 0;
}

int nvmlDeviceGetTemperature(void* /*device*/, int sensor, unsigned* celsius) {
  *celsius = 45;
  return sensor == 0 ? 0 : 2;
}

int nvmlDeviceGetClockInfo(void* /*device*/, int which, unsigned* mhz) {
  *mhz = which == 1 ? 562 : 2505;
  return 0;
}

int nvmlDeviceGetUtilizationRates(void* /*device*/, nvmlUtilization_t* rates) {
  *rates = {7, 3};
  return 0;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void* /*device*/, unsigned long long* reasons) {
  *reasons = 0x5;
  return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* millijoules) {
  if (device != &volta) return 3;
  static unsigned long long spent = 100000;
  *millijoules = spent += 1500;
  return 0;
}

int nvmlDeviceGetPowerManagementDefaultLimit(void* /*device*/, unsigned* milliwatts) {
  *milliwatts = 175000;
  return 0;
}

int nvmlDeviceGetMaxClockInfo(void* /*device*/, int which, unsigned* mhz) {
  *mhz = which == 1 ? 875 : 2505;
  return 0;
}

int nvmlDeviceGetCurrPcieLinkWidth(void* /*device*/, unsigned* lanes) {
  *lanes = 8;
  return 0;
}

int nvmlDeviceGetMaxPcieLinkWidth(void* /*device*/, unsigned* lanes) {
  *lanes = 16;
  return 0;
}

// Two links, of which one is up.
int nvmlDeviceGetNvLinkState(void* /*device*/, unsigned link, int* active) {
  *active = link == 0 ? 1 : 0;
  return link < 2 ? 0 : 2;
}

int nvmlDeviceGetComputeRunningProcesses(void* /*device*/, unsigned* count, void* /*processes*/) {
  *count = 3;
  return 7;  // NVML_ERROR_INSUFFICIENT_SIZE
}

int nvmlDeviceGetTotalEccErrors(void* /*device*/, int type, int since, unsigned long long* errors) {
  *errors = type == 0 ? 40 : 1;
  return since == 0 ? 0 : 3;
}

int nvmlDeviceGetMemoryInfo(void* /*device*/, nvmlMemory_t* memory) {
  *memory = {11995578368ULL, 11931222016ULL, 64356352ULL};
  return 0;
}
}
