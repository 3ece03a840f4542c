// The emulator's switches for programs that a test runs as a child process.
//   TRAINER_EMULATOR_FAIL    name:nth:code,...  as fail_call(); "launch" is a kernel while it runs
//   TRAINER_EMULATOR_HOLD    1                  as hold_work()
//   TRAINER_EMULATOR_DEVICE  k80, t4, h200, none or two  other devices than the plain one
//   TRAINER_EMULATOR_REPORT  a file             written at the end: counts and leaks
//   CUDA_VISIBLE_DEVICES     set and empty      no device, as the real runtime has it
#pragma once

namespace emulator {

struct State;
void read_environment(State& state);

}  // namespace emulator
