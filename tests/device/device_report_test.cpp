// The device report against the block that TensorFlow 1.x printed, letter for letter, and what stands around
// it.
#include "trainer/device/device_report.hpp"

#include <gtest/gtest.h>

namespace trainer {
namespace {

using nlohmann::ordered_json;

// The published block of an Azure NC machine.
const char* const kPublished =
    "Found device 0 with properties:\n"
    "name: Tesla K80\n"
    "major: 3 minor: 7 memoryClockRate (GHz) 0.8235\n"
    "pciBusID 06c3:00:00.0\n"
    "Total memory: 11.17GiB\n"
    "Free memory: 11.11GiB\n";

GpuInfo tesla_k80() {
  GpuInfo gpu;
  gpu.name = "Tesla K80";
  gpu.major = 3;
  gpu.minor = 7;
  gpu.sm_clock_khz = 823500;
  gpu.memory_clock_khz = 2505000;
  gpu.bus_width_bits = 384;
  gpu.pci_bus_id = "06c3:00:00.0";
  gpu.uuid = "GPU-b0aa2a6e-0d9f-2b1a-6c4b-2f5a2f0c1d3e";
  gpu.total_bytes = 11995578368;
  gpu.free_bytes = 11931222016;
  gpu.multiprocessors = 13;
  gpu.l2_bytes = 1572864;
  gpu.shared_bytes = 114688;
  gpu.registers = 131072;
  gpu.warp_size = 32;
  gpu.ecc = true;
  gpu.compute_mode = "default";
  gpu.mig = false;
  gpu.peers = {true};
  gpu.sensors = {61.5, 149.0, 45, 7, 562, 2505, std::vector<std::string>{"idle", "power limit"}, 1234.5};
  return gpu;
}

CpuInfo processor() {
  CpuInfo cpu;
  cpu.model = "Test Processor";
  cpu.cores = 6;
  cpu.threads = 1;
  cpu.instruction_set = "AVX2";
  cpu.loops = "x86-64-v3";
  cpu.memory_bytes = std::uint64_t{56} << 30;
  cpu.available_bytes = std::uint64_t{50} << 30;
  cpu.onednn_version = "3.1.0";
  return cpu;
}

DeviceInfo with_gpus(const std::vector<GpuInfo>& gpus) {
  DeviceInfo info{"cuda", "GPU 0: " + gpus[0].name, processor(), gpus[0], gpus, GpuSoftware{}};
  *info.gpu_software = {
      "470.82.01", "11.4", "11.4", "8.2.4", "11.6.1", "", "35-real;37-real;80-real;80-virtual"};
  return info;
}

std::vector<GpuInfo> two_gpus() {
  GpuInfo first = tesla_k80();
  GpuInfo second = tesla_k80();
  second.index = 1;
  second.pci_bus_id = "3fd1:00:00.0";
  second.sm_clock_khz = 1980000;
  first.peers = {true, false};
  second.peers = {true, true};
  return {first, second};
}

void expect_line(const std::string& text, const std::string& line) {
  EXPECT_NE(("\n" + text).find("\n" + line + "\n"), std::string::npos) << "'" << line << "' is not in:\n"
                                                                       << text;
}

TEST(DeviceReport, OpensWithThePublishedBlock) {
  const std::string text = device_report(with_gpus({tesla_k80()}), "");
  EXPECT_EQ(text.substr(0, std::string(kPublished).size()), kPublished);
  EXPECT_EQ(text.find("DMA"), std::string::npos) << "one GPU has no peers";
}

TEST(DeviceReport, ClocksHaveSixSignificantDigitsAtMost) {
  GpuInfo gpu = tesla_k80();
  for (const auto& [khz, text] : {std::pair{1075500, "1.0755"}, {1980000, "1.98"}, {1000000, "1"}}) {
    gpu.sm_clock_khz = khz;
    expect_line(device_report(with_gpus({gpu}), ""),
                std::string("major: 3 minor: 7 memoryClockRate (GHz) ") + text);
  }
}

TEST(DeviceReport, SeveralGpusEndWithThePeerMatrix) {
  const std::string text = device_report(with_gpus(two_gpus()), "");
  EXPECT_NE(text.find("Free memory: 11.11GiB\n"
                      "Found device 1 with properties:\n"
                      "name: Tesla K80\n"
                      "major: 3 minor: 7 memoryClockRate (GHz) 1.98\n"
                      "pciBusID 3fd1:00:00.0\n"
                      "Total memory: 11.17GiB\n"
                      "Free memory: 11.11GiB\n"
                      "DMA: 0 1 \n"
                      "0:   Y N \n"
                      "1:   Y Y \n"),
            std::string::npos)
      << text;
  expect_line(text, "in use        GPU 0");
}

TEST(DeviceReport, GoesOnWithWhatTheBlockLacks) {
  const std::string text = device_report(with_gpus({tesla_k80()}), "").substr(std::string(kPublished).size());
  EXPECT_EQ(text,
            "GPU           Tesla K80, compute capability 3.7, GPU-b0aa2a6e-0d9f-2b1a-6c4b-2f5a2f0c1d3e\n"
            "  processor   13 multiprocessors at 0.8235 GHz at most, each with 112 KiB shared memory, 131072 "
            "registers; "
            "warps of 32\n"
            "  memory      384 bit at 2.505 GHz: 240.5 GB/s, L2 1.50 MiB, ECC on\n"
            "  mode        compute mode default, MIG off\n"
            "  clocks now  SM 562 MHz, memory 2505 MHz, held back by: idle, power limit\n"
            "  state       power 61.5 W of 149.0 W, 45 C, utilisation 7 %, energy 1234.5 J\n"
            "  code        runs the machine code of 37\n"
            "built for     35 37 80 + PTX 80\n"
            "driver        470.82.01 (CUDA 11.4 at most), runtime 11.4\n"
            "libraries     cuDNN 8.2.4, cuBLAS 11.6.1, NCCL n/a\n"
            "CPU           Test Processor, 6 cores usable, 56.00 GiB\n");
}

TEST(DeviceReport, WhatNobodyTellsIsNotAvailable) {
  GpuInfo gpu = tesla_k80();
  gpu.sensors = {};
  gpu.mig.reset();
  gpu.free_bytes.reset();
  gpu.memory_clock_khz = 0;
  DeviceInfo info = with_gpus({gpu});
  info.gpu_software = GpuSoftware{};
  const std::string text = device_report(info, "");
  expect_line(text, "Free memory: n/a");
  expect_line(text, "  memory      384 bit at n/a GHz: n/a, L2 1.50 MiB, ECC on");
  expect_line(text, "  mode        compute mode default, MIG n/a");
  expect_line(text, "  clocks now  SM n/a, memory n/a, held back by: n/a");
  expect_line(text, "  state       power n/a of n/a, n/a, utilisation n/a, energy n/a");
  expect_line(text, "driver        n/a (CUDA n/a at most), runtime n/a");
  expect_line(text, "libraries     cuDNN n/a, cuBLAS n/a, NCCL n/a");
}

TEST(DeviceReport, InWslItSaysWhyReadingsAreNotAvailable) {
  DeviceInfo info = with_gpus({tesla_k80()});
  info.gpu_software->wsl = true;
  expect_line(
      device_report(info, ""),
      "driver        470.82.01 (CUDA 11.4 at most), runtime 11.4; the driver of Windows, which passes on to "
      "WSL 2 only a part of what NVML tells: the rest is n/a");
}

TEST(DeviceReport, ClocksAtTheirPeakAreHeldBackByNothing) {
  GpuInfo gpu = tesla_k80();
  gpu.sensors.throttle_reasons = std::vector<std::string>{};
  expect_line(device_report(with_gpus({gpu}), ""),
              "  clocks now  SM 562 MHz, memory 2505 MHz, held back by: nothing");
}

TEST(DeviceReport, ADeviceWithoutCodeIsExplained) {
  GpuInfo gpu = tesla_k80();
  gpu.major = 7;
  gpu.minor = 5;
  expect_line(device_report(with_gpus({gpu}), ""),
              "  code        runs none of it: rebuild with -DCMAKE_CUDA_ARCHITECTURES=75");
}

TEST(DeviceReport, SaysWhyNotEveryCoreIsUsed) {
  DeviceInfo info{"cpu", "CPU: Test Processor", processor(), {}, {}, {}};
  info.cpu.cores = 64;
  info.cpu.threads = 8;
  info.cpu.as_shards = true;
  expect_line(device_report(info, "no GPU; add one"),
              "cores         64 usable, 8 threads used, as many as a batch has shards");
}

TEST(DeviceReport, WithoutAGpuItIsTheReasonAndTheProcessor) {
  const DeviceInfo info{"cpu", "CPU: Test Processor", processor(), {}, {}, {}};
  EXPECT_EQ(device_report(info, "no GPU; add one"),
            "GPU           none used: no GPU; add one\n"
            "CPU           Test Processor\n"
            "cores         6 usable, 1 thread used\n"
            "instructions  AVX2 (oneDNN 3.1.0), own loops for x86-64-v3\n"
            "memory        56.00 GiB, 50.00 GiB available\n");
  DeviceInfo limited = info;
  limited.cpu.quota = 5.5;
  expect_line(device_report(limited, "no GPU"), "cores         6 usable (a quota of 5.5), 1 thread used");
  EXPECT_EQ(device_json(limited, "")["cpu"]["quota"], 5.5);
  const ordered_json json = device_json(info, "no GPU; add one");
  EXPECT_EQ(json["gpu"], (ordered_json{{"used", false}, {"reason", "no GPU; add one"}}));
  EXPECT_FALSE(json.contains("gpus"));
  EXPECT_FALSE(json.contains("gpu_software"));
}

TEST(DeviceReport, GpusThatAreNotUsedAreListedWithTheReason) {
  const DeviceInfo info{"cpu", "CPU: Test Processor", processor(), {}, two_gpus(), {}};
  const std::string text = device_report(info, "GPU 0 is busy");
  expect_line(text, "Found device 1 with properties:");
  expect_line(text, "GPU           none used: GPU 0 is busy");
  expect_line(text, "cores         6 usable, 1 thread used");
  EXPECT_EQ(text.find("in use"), std::string::npos);
}

TEST(DeviceJson, HasWhatTheTextHas) {
  const ordered_json json = device_json(with_gpus({tesla_k80()}), "");
  const ordered_json& gpu = json.at("gpu");
  EXPECT_EQ(gpu.at("used"), true);
  EXPECT_EQ(gpu.at("name"), "Tesla K80");
  EXPECT_EQ(gpu.at("major"), 3);
  EXPECT_EQ(gpu.at("minor"), 7);
  EXPECT_EQ(gpu.at("sm_clock_khz"), 823500);
  EXPECT_EQ(gpu.at("memory_clock_khz"), 2505000);
  EXPECT_EQ(gpu.at("bus_width_bits"), 384);
  EXPECT_EQ(gpu.at("memory_bytes_per_second"), 240480000000.0);
  EXPECT_EQ(gpu.at("pci_bus_id"), "06c3:00:00.0");
  EXPECT_EQ(gpu.at("uuid"), tesla_k80().uuid);
  EXPECT_EQ(gpu.at("total_bytes"), 11995578368);
  EXPECT_EQ(gpu.at("free_bytes"), 11931222016);
  EXPECT_EQ(gpu.at("multiprocessors"), 13);
  EXPECT_EQ(gpu.at("l2_bytes"), 1572864);
  EXPECT_EQ(gpu.at("shared_bytes_per_multiprocessor"), 114688);
  EXPECT_EQ(gpu.at("registers_per_multiprocessor"), 131072);
  EXPECT_EQ(gpu.at("warp_size"), 32);
  EXPECT_EQ(gpu.at("ecc"), true);
  EXPECT_EQ(gpu.at("compute_mode"), "default");
  EXPECT_EQ(gpu.at("mig"), false);
  EXPECT_EQ(gpu.at("peers"), ordered_json::array({true}));
  EXPECT_EQ(gpu.at("power_watts"), 61.5);
  EXPECT_EQ(gpu.at("power_limit_watts"), 149.0);
  EXPECT_EQ(gpu.at("temperature_celsius"), 45);
  EXPECT_EQ(gpu.at("utilisation_percent"), 7);
  EXPECT_EQ(gpu.at("sm_clock_mhz_now"), 562);
  EXPECT_EQ(gpu.at("memory_clock_mhz_now"), 2505);
  EXPECT_EQ(gpu.at("throttle_reasons"), ordered_json::array({"idle", "power limit"}));
  EXPECT_EQ(gpu.at("energy_joules"), 1234.5);
  EXPECT_EQ(gpu.at("code").at("kind"), "machine code");
  EXPECT_EQ(gpu.at("code").at("from"), "37");
  EXPECT_EQ(json.at("gpu_software"), (ordered_json{{"driver", "470.82.01"},
                                                   {"driver_cuda", "11.4"},
                                                   {"runtime", "11.4"},
                                                   {"cudnn", "8.2.4"},
                                                   {"cublas", "11.6.1"},
                                                   {"nccl", nullptr},
                                                   {"architectures", "35 37 80 + PTX 80"}}));
}

TEST(DeviceJson, ListsEveryGpu) {
  const ordered_json json = device_json(with_gpus(two_gpus()), "");
  ASSERT_EQ(json.at("gpus").size(), 2U);
  EXPECT_EQ(json.at("gpus")[1].at("pci_bus_id"), "3fd1:00:00.0");
  EXPECT_EQ(json.at("gpus")[1].at("peers"), ordered_json::array({true, true}));
}

TEST(DeviceJson, WhatNobodyTellsIsNull) {
  GpuInfo gpu = tesla_k80();
  gpu.sensors = {};
  gpu.mig.reset();
  gpu.free_bytes.reset();
  const ordered_json json = device_json(with_gpus({gpu}), "").at("gpu");
  for (const char* key : {"free_bytes", "mig", "power_watts", "power_limit_watts", "temperature_celsius",
                          "utilisation_percent", "throttle_reasons", "energy_joules"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
  }
}

TEST(RunRecordBlocks, NameTheGpuAndItsSoftware) {
  const DeviceInfo info = with_gpus({tesla_k80()});
  EXPECT_EQ(machine_json(info).at("gpu"), "Tesla K80");
  EXPECT_EQ(versions_json(info).at("cudnn"), "8.2.4");
  EXPECT_EQ(versions_json(info).at("driver"), "470.82.01");
  const DeviceInfo cpu{"cpu", "", processor(), {}, {}, {}};
  EXPECT_FALSE(machine_json(cpu).contains("gpu"));
  EXPECT_FALSE(versions_json(cpu).contains("cudnn"));
}

}  // namespace
}  // namespace trainer
