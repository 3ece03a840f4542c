// Replaces the communicator in a build without NCCL's header: reports this and what to do.
#include "kernels/backend.hpp"
#include "kernels/cuda/ranks/device_communicator.hpp"

namespace trainer::cuda {

std::unique_ptr<DeviceCommunicator> make_device_communicator(Communicator& /*host*/,
                                                             cudaStream_t /*stream*/) {
  throw BackendError(
      "several ranks on GPUs need NCCL, and this program was built without its header; install libnccl-dev "
      "and build "
      "again, or choose --device cpu");
}

}  // namespace trainer::cuda
