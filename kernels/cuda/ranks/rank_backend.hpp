// What the GPU engines do as one of several ranks.
#pragma once

#include <memory>
#include <variant>

#include "kernels/cuda/ranks/device_communicator.hpp"
#include "kernels/cuda/runtime/device_backend.hpp"

namespace trainer::cuda {

// Throws BackendError if the statistics of a batch normalisation are to be those of all ranks.
inline void require_own_statistics(const RankPart& part, const OpDesc& desc) {
  if (!part.sync_batchnorm) return;
  if (!std::holds_alternative<BatchNormDesc>(desc) && !std::holds_alternative<NormalisedDesc>(desc)) return;
  throw BackendError(
      describe(desc) +
      ": --sync-batchnorm does not go with the fast GPU engine, where each rank has the statistics of its "
      "own images; leave it out, or choose --bits portable, which always takes those of all ranks, or "
      "--device cpu");
}

class RankBackend : public DeviceBackend {
 public:
  void join(const RankPart& part) override {
    communicator_ = make_device_communicator(*part.ranks, stream());
    RankPart own = part;
    own.ranks = &communicator_->host();
    Backend::join(own);
    own.ranks = communicator_.get();
    join_ops(own);
    watch([this] { communicator_->watch(); });
  }
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return make_device_exchange(*this, {stream()}, *communicator_, desc);
  }

 protected:
  using DeviceBackend::DeviceBackend;

 private:
  virtual void join_ops(const RankPart& part) = 0;  // whose ranks are those of the device's memory

  std::unique_ptr<DeviceCommunicator> communicator_;
};

}  // namespace trainer::cuda
