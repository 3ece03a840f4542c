// The emulated CUDA: replaces the toolkit's header of this name, so that the host compiler compiles the sources of
// kernels/cuda/, and they run on a CPU (tests/emulator/README.md). Names, numbers and signatures are those of CUDA 12.4
// to 13; the project's kernels can use nothing that is missing here.
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
