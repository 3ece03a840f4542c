// The exchange of gradients in a GPU's memory: the messages, codes and sums of the host's (kernels/cpu/ranks), bit for bit.
#pragma once

#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cuda/ranks/device_communicator.hpp"
#include "kernels/cuda/runtime/launch.hpp"

namespace trainer::cuda {

// `backend` owns the memory. run() only launches, and tells `ranks` of its progress. Throws std::invalid_argument like
// checked_exchange().
std::unique_ptr<GradientExchange> make_device_exchange(Backend& backend, const LaunchQueue& queue,
                                                       DeviceCommunicator& ranks, const ExchangeDesc& desc);

}  // namespace trainer::cuda
