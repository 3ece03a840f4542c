// Where each column's code lies in the messages of an exchange. The columns are divided into stripes, one for each rank, which adds
// up what all ranks send it of its stripe and sends them the sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gradient_exchange.hpp"

namespace trainer {

// Stripe p is the columns [p] .. [p + 1] - 1, whole ones, so that their codes are about equally long; it may be empty.
std::vector<std::size_t> divide_columns(std::span<const Column> columns, int bits, int parts);

// Opens what a rank sends to all.
struct StripeHeader {
  float batch_loss;
  std::uint32_t stop;  // 1: this rank has been asked to stop
};
constexpr std::size_t kHeaderWords = sizeof(StripeHeader) / 4;

// Offsets are in 32-bit words, borders in bytes, as a Communicator takes them.
struct Messages {
  Messages(const std::vector<Column>& columns, const std::vector<std::size_t>& stripes, int code_bits);

  int bits;
  std::vector<std::size_t>
      scattered;  // [columns + 1] of the codes that go to the owners, one after the other
  std::vector<std::size_t> scattered_borders;
  std::vector<std::size_t>
      gathered;  // [columns] of those that go to all, with a StripeHeader before each stripe
  std::vector<std::size_t> gathered_borders;
};

// Residuals for another number of ranks, with the same sum for every float: each rank gets an equal share.
Residuals shared_out(const Residuals& residuals, int ranks);

// Throws std::invalid_argument for other bits than 1, 16 and 32, and for columns that overlap or leave the arena.
const ExchangeDesc& checked_exchange(const ExchangeDesc& desc);

// What GradientExchange::residuals() and set_residuals() have in common, wherever the residuals are: `own` and `sum` [floats]
// are this rank's, stripes those of divide_columns().
Residuals gathered_residuals(const ExchangeDesc& desc, const std::vector<std::size_t>& stripes,
                             const std::vector<float>& own, const std::vector<float>& sum);
Residuals fitting_residuals(const ExchangeDesc& desc, const Residuals& residuals);

}  // namespace trainer
