// The recipe as text, and how numbers are written for people.
#pragma once

#include <cstdint>
#include <string>

#include "models/plan.hpp"

namespace trainer {

std::string grouped(std::uint64_t number);  // 1234567 as "1,234,567"

}  // namespace trainer
