// The ranks as a GPU engine's ops see them: a Communicator for the device's memory, by NCCL. Its calls only launch, on the engine's
// stream, so that they become part of a recorded step. And the exchange of gradients in that memory: the messages, codes and sums of the
// host's (kernels/cpu/ranks), bit for bit.
#pragma once

#include <cuda_runtime.h>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/communicator.hpp"
#include "kernels/cuda/runtime/launch.hpp"

namespace trainer::cuda {

class DeviceCommunicator : public Communicator {
 public:
  // The host's ranks that these were made of. What they are told begins is what watch() allows time for.
  virtual Communicator& host() = 0;
  // The host calls it again and again while it waits for the device. Throws RankLost, having ended what the device waits for.
  virtual void watch() = 0;

  const volatile std::uint64_t* progress =
      nullptr;  // changes when the device has got on; null: nothing tells
};

// Returns when all ranks have done so. Throws BackendError without NCCL, RankLost if a rank does not come.
std::unique_ptr<DeviceCommunicator> make_device_communicator(Communicator& host, cudaStream_t stream);

// `backend` owns the memory. run() only launches, and tells `ranks` of its progress. Throws std::invalid_argument like
// checked_exchange().
std::unique_ptr<GradientExchange> make_device_exchange(Backend& backend, const LaunchQueue& queue,
                                                       DeviceCommunicator& ranks, const ExchangeDesc& desc);

}  // namespace trainer::cuda
