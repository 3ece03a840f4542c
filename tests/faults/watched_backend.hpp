// A backend that remembers the memory that it gave away: where a fault can be put. The memory of make_resident() is not among it,
// since no kernel stores there.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer::test {

class WatchedBackend final : public Backend {
 public:
  struct Block {
    std::byte* data;
    std::size_t bytes;
    std::string what;
  };

  explicit WatchedBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}
  const std::vector<Block>& blocks() const { return blocks_; }

  Buffer allocate(std::size_t bytes, std::string_view what) override {
    Buffer buffer = inner_->allocate(bytes, what);
    blocks_.push_back({buffer.data(), bytes, std::string(what)});
    return buffer;
  }
  DeviceInfo info(Libraries libraries) const override { return inner_->info(libraries); }
  Buffer make_resident(const void* data, std::size_t bytes, std::string_view what) override {
    return inner_->make_resident(data, bytes, what);
  }
  void upload(std::byte* to, const void* from, std::size_t bytes) override {
    inner_->upload(to, from, bytes);
  }
  void download(void* to, const std::byte* from, std::size_t bytes) override {
    inner_->download(to, from, bytes);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) override {
    return inner_->prepare(desc, batch, wants_dx);
  }
  void cast(const float* from, void* to, std::size_t count) override { inner_->cast(from, to, count); }
  void gather(const GatherArgs& args) override { inner_->gather(args); }
  void update(const UpdateArgs& args) override { inner_->update(args); }
  void average(const AverageArgs& args) override { inner_->average(args); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return inner_->update_workspace_bytes(matrices);
  }
  void advance(StepState* state) override { inner_->advance(state); }
  std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) override {
    return inner_->record(std::move(sequence));
  }
  std::uint64_t repeats_per_launch() const override { return inner_->repeats_per_launch(); }
  bool runs_ahead() const override { return inner_->runs_ahead(); }
  bool busy() const override { return inner_->busy(); }
  void wait() override { inner_->wait(); }

 private:
  std::unique_ptr<Backend> inner_;
  std::vector<Block> blocks_;
};

}  // namespace trainer::test
