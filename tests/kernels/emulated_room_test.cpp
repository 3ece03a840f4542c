// Cooperative kernels on devices with less room than the kernels' bounds say, as under a tool that needs registers:
// launches are reduced to what runs at once; what cannot be reduced falls back or reports an error.
#include "tests/emulator/emulator_fixture.hpp"
#include "tests/kernels/conformance_inputs.hpp"
#include "tests/kernels/matrix_trial.hpp"
#include "tests/kernels/op_trial.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

class EmulatedRoom : public emulator::EmulatorTest {
 protected:
  struct Room {
    int multiprocessors = 4;
    int threads = 1024, blocks = 32;  // of a multiprocessor at a time
  };
  static void play(const Room& room) {
    emulator::reset();
    emulator::Machine machine;
    machine.devices[0].multiprocessors = room.multiprocessors;
    machine.devices[0].resident_threads = room.threads;
    machine.devices[0].resident_blocks = room.blocks;
    emulator::play(machine);
  }

  static std::string error_of(const OpDesc& desc, int batch, bool wants_dx = true) {
    const auto backend = make_backend(kGpu);
    try {
      backend->prepare(desc, batch, wants_dx);
    } catch (const BackendError& error) {
      return error.what();
    }
    return "";
  }
};

OpCase dense_norm(int in, int out, int batch) {
  return {"", NormalisedDesc{DenseDesc{.in = in, .out = out, .bias = false}, sprint_norm({1, 1, out})},
          batch};
}

// Compares with the reference; each element is a sum of `length` terms.
void expect_right(const OpCase& c, double length) {
  const reference::Tensors want = reference_of(c, Mode::training);
  const OpResult got = run_op(*make_backend(kGpu), c.desc, inputs_of(c, Precision::fp32, want), true);
  const Tolerance tolerance{.length = length, .term = largest(want.x), .zeros = 0.4};
  EXPECT_EQ(got.faults, std::vector<std::string>{});
  EXPECT_TRUE(near(got.y, want.y, tolerance)) << "y";
  EXPECT_TRUE(near(got.dx, want.dx, tolerance)) << "dx";
  for (std::size_t i = 0; i < got.gradients.size(); ++i)
    EXPECT_TRUE(near(got.gradients[i], want.gradients[i], tolerance)) << "gradient " << i;
}

// Eight tiles in two slices: 4 parts on a plain device's 4 multiprocessors, 2 if each has room for only one block.
TEST_F(EmulatedRoom, AProductsSharesAreCutToTheBlocksThatRunAtOnce) {
  for (const int resident : {32, 1}) {
    SCOPED_TRACE(resident);
    play({.blocks = resident});
    expect_right(dense_norm(32, 64, 256), 32 + 256);
    EXPECT_GT(emulator::calls("cudaOccupancyMaxActiveBlocksPerMultiprocessor"), 0U);
  }
}

TEST_F(EmulatedRoom, WhatCannotBeCutIsTwoOps) {
  const OpCase c = dense_norm(32, 256, 64);  // eight slices
  const auto& desc = std::get<NormalisedDesc>(c.desc);
  EXPECT_TRUE(make_backend(kGpu)->fuses(desc, c.batch, true));
  play({.blocks = 1});
  EXPECT_FALSE(make_backend(kGpu)->fuses(desc, c.batch, true));
  EXPECT_NE(error_of(c.desc, c.batch).find("two ops on this GPU"), std::string::npos);
}

TEST_F(EmulatedRoom, ANormKeepsToTheMultiprocessorsThatThereAre) {
  const OpCase norm{"", sprint_norm({4, 4, 8}), 300};
  for (const int multiprocessors : {1, 3}) {
    play({.multiprocessors = multiprocessors, .blocks = 1});
    expect_right(norm, 16 * 300);
  }
}

TEST_F(EmulatedRoom, NoRoomForABlockIsToldWhenTheOpIsPrepared) {
  const OpDesc first =
      NormalisedDesc{without_bias(with_pool(conv({28, 28, 1}, 3, 8), 3, 3)), sprint_norm({8, 8, 8})};
  play({.threads = 256});
  for (const OpDesc& desc : {first, OpDesc(sprint_norm({4, 4, 8}))}) {
    const std::string error = error_of(desc, 300, std::holds_alternative<BatchNormDesc>(desc));
    EXPECT_NE(error.find("wait for one another, but GPU 0 runs no more than 0 on each of 4 multiprocessors"),
              std::string::npos)
        << error;
  }
  const auto backend = make_backend(kGpu);
  EXPECT_THROW(MatrixTrial(*backend, dense(32, 32), true), BackendError) << "muon";
}

TEST_F(EmulatedRoom, AMapThatKernelsCannotCountIsRefused) {
  const auto backend = make_cuda_backend({});
  const OpDesc padded = conv({102, 102, 8}, 3, 8);
  try {
    static_cast<void>(backend->prepare(padded, 65536, true));
    FAIL() << "5.45e9 elements were taken";
  } catch (const BackendError& error) {
    EXPECT_NE(std::string(error.what()).find("83232 elements an image and 65536 images"), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("choose a smaller --batch"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace trainer
