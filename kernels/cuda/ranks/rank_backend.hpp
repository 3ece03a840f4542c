// What the GPU engines do as one of several ranks.
#pragma once

#include <memory>

#include "kernels/cuda/ranks/device_communicator.hpp"
#include "kernels/cuda/ranks/device_exchange.hpp"
#include "kernels/cuda/runtime/device_backend.hpp"

namespace trainer::cuda {

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
