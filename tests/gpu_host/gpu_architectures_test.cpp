// Which code a device runs, by the toolkit's rules for machine code and PTX.
#include "kernels/gpu_host/gpu_architectures.hpp"

#include <gtest/gtest.h>

namespace trainer {
namespace {

const char* const kAll = "75-real;80-real;86-real;89-real;90-real;90-virtual;100-real;120-real;120-virtual";

std::string runs(const std::string& list, int major, int minor) {
  const GpuCode code = code_for(parse_architectures(list), major, minor);
  if (code.kind == GpuCode::Kind::none) return "none";
  return (code.kind == GpuCode::Kind::ptx ? "PTX " : "") + architecture_name(code.from);
}

TEST(GpuArchitectures, AreReadAsCMakeMeansThem) {
  EXPECT_EQ(architectures_text(parse_architectures(kAll)), "75 80 86 89 90 100 120 + PTX 90 120");
  EXPECT_EQ(architectures_text(parse_architectures("80;90a-real")), "80 90a + PTX 80");
  EXPECT_EQ(architectures_text(parse_architectures("75-real 80-real")), "75 80");
  EXPECT_EQ(architectures_text(parse_architectures("100-virtual")), "PTX 100");
  for (const char* nothing : {"", "native", "-real", "8x", "90ab", ";;"}) {
    EXPECT_EQ(architectures_text(parse_architectures(nothing)), "none") << nothing;
  }
}

TEST(GpuArchitectures, MachineCodeRunsWithinItsMajorVersionUpwards) {
  EXPECT_EQ(runs(kAll, 7, 5), "75");
  EXPECT_EQ(runs(kAll, 8, 7), "86") << "the nearest below";
  EXPECT_EQ(runs(kAll, 9, 0), "90");
  EXPECT_EQ(runs(kAll, 10, 3), "100");
  EXPECT_EQ(runs(kAll, 12, 1), "120");
  EXPECT_EQ(runs("86-real", 8, 0), "none");
  EXPECT_EQ(runs("80-real", 9, 0), "none");
}

TEST(GpuArchitectures, PtxRunsOnEveryNewerDevice) {
  EXPECT_EQ(runs(kAll, 13, 0), "PTX 120");
  EXPECT_EQ(runs(kAll, 11, 0), "PTX 90") << "no family of machine code has it";
  EXPECT_EQ(runs("75;80", 9, 0), "PTX 80") << "the newest of it";
  EXPECT_EQ(runs("80-virtual", 7, 5), "none");
  EXPECT_EQ(runs("90-virtual;80-real", 9, 0), "PTX 90");
}

TEST(GpuArchitectures, CodeForOneDeviceOrFamilyRunsNowhereElse) {
  EXPECT_EQ(runs("90a", 9, 0), "90a");
  EXPECT_EQ(runs("90a", 10, 0), "none");
  EXPECT_EQ(runs("100a", 10, 3), "none");
  EXPECT_EQ(runs("100f", 10, 3), "100f");
  EXPECT_EQ(runs("100f", 12, 0), "none");
}

TEST(GpuArchitectures, AMismatchSaysWhatToDo) {
  const GpuArchitectures built = parse_architectures(kAll);
  EXPECT_EQ(code_text(built, 9, 0), "runs the machine code of 90");
  EXPECT_EQ(code_text(built, 13, 0),
            "runs PTX 120, which the driver compiles at the first start; for machine code rebuild with "
            "-DCMAKE_CUDA_ARCHITECTURES=130");
  EXPECT_EQ(code_text(built, 7, 0),
            "runs none of it: rebuild with CUDA 12.9, cuDNN 9.10.2 and -DCMAKE_CUDA_ARCHITECTURES=70");
  for (const auto& [major, minor] : {std::pair(6, 1), std::pair(3, 7)}) {
    EXPECT_EQ(
        code_text(built, major, minor),
        "runs none of it: use --device cpu or a newer GPU; the GPU engine cannot be built for less than 7.0");
  }
}

}  // namespace
}  // namespace trainer
