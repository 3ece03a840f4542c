// The exchange of gradients in the host's memory, which the CPU engine uses.
#pragma once

#include <memory>

#include "kernels/cpu/runtime/stream.hpp"
#include "kernels/gradient_exchange.hpp"

namespace trainer::cpu {

// run() appends the exchange to the stream, whose threads code and add up; their number changes no bit of a result.
// Throws std::invalid_argument for other bits than 1, 16 and 32, and for columns that overlap or leave the arena.
std::unique_ptr<GradientExchange> make_host_exchange(const ExchangeDesc& desc, Stream& stream);

}  // namespace trainer::cpu
