// Texts that ranks send in fields of a fixed length, one of which has no zero at its end.
#include <cstring>
#include <gtest/gtest.h>

#include "tests/train/rank_training.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {
namespace {

// Rank 0 of three; the others send nothing but the letter x.
class LettersFromOthers final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 3; }
  void all_gather(void* data, const std::vector<std::size_t>& borders) override {
    std::memset(static_cast<char*>(data) + borders[1], 'x', borders[3] - borders[1]);
  }
  void all_to_all(const void*, const std::vector<std::size_t>&, void*) override {}
  void begin(const std::string&, double) override {}
};

TEST(RankTexts, EndWithTheirField) {
  LettersFromOthers others;
  EXPECT_EQ(places_of(others).machines, 2);
  EXPECT_EQ(places_of(others).on_this_machine, 1);
}

TEST(RankTexts, OfTheComparisonEndWithTheirField) {
  LettersFromOthers others;
  const char* const yaml =
      "name: n\nlayers: [dense: {out: classes}]\nrecipe: {optimizer: sgd, rate: 0.1, batch: 2, epochs: 1}\n";
  const std::unique_ptr<Backend> backend = make_cpu_backend(CpuOptions{.threads = 1});
  const auto setup = make_setup(parse_spec(yaml, "n.yaml"), {}, some_data(4));
  const Network network(setup.plan, *backend, Purpose::training, setup.rule.optimizers);
  try {
    require_same_training(setup, "fp32", network, 0, others);
    ADD_FAILURE() << "they match";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find(" the program " + std::string(160, 'x') + ", rank 0"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace trainer
