// Target: whatever the other ranks send to this one.
#include <array>
#include <cstring>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cpu/ranks/host_exchange.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer::fuzz {

namespace {

// This process is a rank; what the others send is the rest of the input, again and again, after `alike` exchanges in which they
// send what this rank does.
class PlayedPeers final : public Communicator {
 public:
  PlayedPeers(int rank, int size, int alike, ByteSpan sent)
      : rank_(rank), size_(size), alike_(alike), sent_(sent) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_gather(void* data, const std::vector<std::size_t>& borders) override {
    auto* const bytes = static_cast<std::uint8_t*>(data);
    const auto length = [&](int r) { return borders[at(r) + 1] - borders[at(r)]; };
    const bool alike = alike_-- > 0;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      if (alike && length(r) == length(rank_))
        std::memcpy(bytes + borders[at(r)], bytes + borders[at(rank_)], length(r));
      else
        receive(bytes + borders[at(r)], length(r));
    }
  }
  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override {
    const std::size_t own = borders[at(rank_) + 1] - borders[at(rank_)];
    for (int r = 0; r < size_; ++r) {
      auto* const into = static_cast<std::uint8_t*>(received) + at(r) * own;
      if (r != rank_)
        receive(into, own);
      else if (own > 0)
        std::memcpy(into, static_cast<const std::uint8_t*>(data) + borders[at(r)], own);
    }
  }
  void begin(const std::string& /*activity*/, double /*seconds*/) override {}

 private:
  static std::size_t at(int rank) { return static_cast<std::size_t>(rank); }
  void receive(std::uint8_t* into, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) into[i] = sent_.empty() ? 0 : sent_[next_++ % sent_.size()];
  }

  int rank_, size_, alike_;
  ByteSpan sent_;
  std::size_t next_ = 0;
};

void exchange_gradients(PlayedPeers& peers, int bits) {
  constexpr std::size_t kFloats = 100;
  cpu::Stream stream(1);
  const auto exchange =
      cpu::make_host_exchange({.ranks = &peers,
                               .floats = kFloats,
                               .columns = {{0, 33, false}, {33, 1, false}, {34, 64, false}, {98, 2, true}},
                               .bits = bits,
                               .full_steps = 1},
                              stream);
  std::vector<float> gradient(kFloats, 0.25F);
  for (std::uint64_t step = 0; step < 3; ++step) {
    StepState state{};
    state.step = step;
    exchange->before_launch(step);
    exchange->run(gradient.data(), &state);
    stream.flush();
  }
  (void)exchange->stops();
  exchange->set_residuals(exchange->residuals());
}

void exchange_small_values(PlayedPeers& peers) {
  const RankPlaces places = places_of(peers);
  require(places.machines >= 1 && places.on_this_machine >= 1 && places.place < peers.size(),
          "this rank has a place");
  (void)sums_of_all({}, true, {.ranks = &peers, .batch = 16});
}

// A training of a network with one layer, as this rank would begin it.
class SmallTraining {
 public:
  void compare(Communicator& peers) const { require_same_training(setup_, "fp32", network_, 0, peers); }

 private:
  static Setup small_setup() {
    data::Dataset data;
    data.shape = {2, 2, 1};
    data.classes = 2;
    data.fingerprint = "crc32:1-2-3-4";
    for (data::Split* split : {&data.train, &data.test}) {
      split->images.assign(8, 1);
      split->labels = {0, 1};
    }
    const char* const yaml =
        "name: n\nlayers: [dense: {out: classes}]\nrecipe: {optimizer: sgd, rate: 0.1, batch: 2, epochs: "
        "1}\n";
    return make_setup(parse_spec(yaml, "n.yaml"), {}, std::move(data));
  }

  std::unique_ptr<Backend> backend_ = make_cpu_backend(CpuOptions{.threads = 1});
  Setup setup_ = small_setup();
  Network network_{setup_.plan, *backend_, Purpose::training, setup_.rule.optimizers};
};

}  // namespace

bool fuzz_ranks(ByteSpan input) {
  if (input.empty()) return false;
  const unsigned choice = input[0];
  const int size = 2 + static_cast<int>(choice % 2);
  const unsigned kind = choice / 4 % 8;
  PlayedPeers peers(static_cast<int>(choice / 2 % 2), size, static_cast<int>(choice / 32), input.subspan(1));
  if (kind < 3) exchange_gradients(peers, std::array{1, 16, 32}[kind]);
  if (kind == 3) exchange_small_values(peers);
  if (kind < 4) return true;
  static const SmallTraining training;
  return is_taken<UsageError>([&] { training.compare(peers); });
}

}  // namespace trainer::fuzz
