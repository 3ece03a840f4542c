// What a network exchanges with the other ranks that train it: its gradient, in every step, and its running statistics.
#include <algorithm>

#include "models/network.hpp"

namespace trainer {

// With 1 bit an output of a dense layer has too many weights for two means, and a small parameter is better sent whole.
constexpr std::size_t kMostSignRows = 128, kMostWhole = 1024;

void Network::prepare_exchange() {
  const RankPart& part = backend_.part();
  ExchangeDesc desc{.ranks = part.ranks,
                    .floats = gradients_.bytes() / sizeof(float),
                    .bits = part.gradient_bits,
                    .full_steps = part.full_steps};
  for (const Stage& stage : stages_) {
    for (std::size_t p = 0; p < stage.slots.size(); ++p) {
      if (!stage.slots[p].trained) continue;
      const ParameterDesc parameter = trainer::parameters(stage.op->desc()).at(p);
      const std::size_t stored = stage.op->stored_count(static_cast<int>(p));
      const auto outputs = static_cast<std::size_t>(parameter.shape.front());
      const bool by_output = parameter.role == ParameterRole::weight && stored % outputs == 0;
      const std::size_t rows = by_output ? stored / outputs : stored;
      const bool whole = desc.bits == 1 && stored <= kMostWhole;
      const std::size_t most = desc.bits == 1 && !whole ? kMostSignRows : rows;
      for (std::size_t at = 0; at < stored; at += rows)
        for (std::size_t row = 0; row < rows; row += most)
          desc.columns.push_back({stage.slots[p].offset + at + row, std::min(most, rows - row), whole});
    }
  }
  exchange_ = backend_.prepare_exchange(desc);
}

void Network::share_statistics() {
  Communicator* ranks = backend_.part().ranks;
  if (ranks == nullptr) return;
  for (const Weights* weights : {&weights_, &averages_}) {
    const Buffer& statistics = weights->statistics;
    if (statistics.bytes() == 0) continue;
    std::vector<std::byte> all(statistics.bytes());
    std::vector<std::size_t> borders(static_cast<std::size_t>(ranks->size()) + 1, all.size());
    borders.front() = 0;
    backend_.download(all.data(), statistics.data(), all.size());
    ranks->all_gather(all.data(), borders);
    backend_.upload(statistics.data(), all.data(), all.size());
  }
}

}  // namespace trainer
