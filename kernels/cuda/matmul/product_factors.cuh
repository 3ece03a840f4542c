// Which kernel of a product stands for the engine's precision.
#pragma once

#include <type_traits>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/tensor_cores.cuh"

namespace trainer::cuda {

template <Factors kFactors>
using FactorsOf = std::integral_constant<Factors, kFactors>;

// Calls visit(FactorsOf<...>{}, ElementType<...>{}).
template <typename Visit>
void visit_product(const CudaContext& context, const Visit& visit) {
  if (context.precision == Precision::fp32) return visit(FactorsOf<Factors::fp32>{}, ElementType<float>{});
  visit_element(context.element, [&](auto element) { visit(FactorsOf<Factors::tf32>{}, element); });
}

}  // namespace trainer::cuda
