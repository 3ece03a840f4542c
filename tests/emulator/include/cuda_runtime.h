// The emulated CUDA: stands where the toolkit's header of this name would, so that the sources of
// kernels/cuda/ are compiled by the host compiler and run on a CPU (tests/emulator/README.md). Names, numbers
// and signatures are those of CUDA 12.4 to 13; what is missing here does not exist for the project's kernels
// either.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <math.h>

#define TRAINER_EMULATED_CUDA 1
#define CUDART_VERSION 13000

#include <emulated/atomics.hpp>
#include <emulated/collectives.hpp>
#include <emulated/device_properties.hpp>
#include <emulated/graph_calls.hpp>
#include <emulated/intrinsics.hpp>
#include <emulated/kernel_launch.hpp>
#include <emulated/qualifiers.hpp>
#include <emulated/runtime_calls.hpp>
#include <emulated/runtime_errors.hpp>
#include <emulated/tensor_cores.hpp>
#include <emulated/vectors.hpp>
