// How gradients are coded and exchanged between ranks, in double and from the description alone (Seide et al. 2014).
#pragma once

#include <vector>

#include "kernels/gradient_exchange.hpp"
#include "tests/reference/reference.hpp"

namespace trainer::reference {

// A column after it was coded: what a rank that decodes it gets, and what is left for the next time.
struct CodedColumn {
  Values sent;
  Values residual;
};
CodedColumn coded(int bits, const Values& x, const Values& residual);

// The same as Residuals, as one row for each rank.
struct Kept {
  std::vector<Values> own;  // [ranks][floats]
  Values sum;               // [floats]
};

// Returns what every rank ends with; gradients are [ranks][floats]. What lies in no column stays 0.
Values exchanged(int bits, const std::vector<Column>& columns, const std::vector<Values>& gradients,
                 Kept& kept);

}  // namespace trainer::reference
