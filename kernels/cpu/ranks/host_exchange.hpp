// The exchange of gradients in the host's memory, which the CPU engine uses.
#pragma once

#include <memory>

#include "kernels/gradient_exchange.hpp"

namespace trainer::cpu {

// run() returns when the exchange is done; `threads` of them code and add up, and their number changes no bit of a result.
// Throws std::invalid_argument for other bits than 1, 16 and 32, and for columns that overlap or leave the arena.
std::unique_ptr<GradientExchange> make_host_exchange(const ExchangeDesc& desc, int threads);

}  // namespace trainer::cpu
