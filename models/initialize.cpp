// Initial values of parameters. Uniform values use 24 bits, exact in float; normal ones use 32 bits and the Box-Muller
// transform in double, which gives two values for each pair of words.
#include <cmath>

#include "kernels/math/functions.hpp"
#include "kernels/math/philox.hpp"
#include "models/plan.hpp"

namespace trainer {

namespace {

constexpr double kTruncation = 2;              // standard deviations
constexpr std::uint32_t kMostAttempts = 1000;  // each attempt rejects 4.6 % of the values
constexpr std::uint32_t kInitializerStream = 1U << 31;

// The random numbers of one parameter, addressed by element.
struct Source {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;

  Philox4 words(std::size_t element, std::uint32_t attempt) const {
    return philox4x32({{static_cast<std::uint32_t>(element / 4), attempt, 0, stream}},
                      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  }

  // Uniform in [-limit, limit).
  float uniform(std::size_t element, double limit) const {
    const float unit = unit_float(words(element, 0).word[element % 4]);
    return static_cast<float>((2 * static_cast<double>(unit) - 1) * limit);
  }

  double normal(std::size_t element, std::uint32_t attempt) const {
    const Philox4 random = words(element, attempt);
    const std::size_t pair = element % 4 / 2 * 2;
    const double u = (static_cast<double>(random.word[pair]) + 1) * 0x1p-32;         // (0, 1]
    const double half_turns = static_cast<double>(random.word[pair + 1]) * 0x1p-31;  // [0, 2)
    const double shift = element % 2 == 0 ? 0.0 : 0.5;  // sin(a) = cos(a - pi / 2)
    return std::sqrt(-2 * logarithm_of(u)) * cosine_of_pi(half_turns - shift);
  }

  double truncated_normal(std::size_t element) const {
    for (std::uint32_t attempt = 0; attempt < kMostAttempts; ++attempt) {
      const double value = normal(element, attempt);
      if (std::abs(value) <= kTruncation) return value;
    }
    return 0;
  }

  float draw(const Initialization& start, const ParameterDesc& desc, std::size_t element) const {
    switch (start.kind) {
      case Initializer::zeros:
        return 0;
      case Initializer::constant:
        return static_cast<float>(start.value);
      case Initializer::uniform_fan_in:
        return uniform(element, 1 / std::sqrt(desc.fan_in));
      case Initializer::xavier_uniform:
        return uniform(element, std::sqrt(3.0 / desc.fan_in));
      case Initializer::glorot_uniform:
        return uniform(element, std::sqrt(6.0 / (static_cast<double>(desc.fan_in) + desc.fan_out)));
      case Initializer::normal:
        return static_cast<float>(start.deviation * normal(element, 0));
      case Initializer::truncated_normal:
        return static_cast<float>(start.deviation * truncated_normal(element));
    }
    return 0;
  }
};

}  // namespace

std::vector<float> initial_values(const PlannedParameter& parameter, std::uint64_t seed, int index) {
  const Source source{seed, kInitializerStream | static_cast<std::uint32_t>(index)};
  std::vector<float> values(parameter.desc.count());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = source.draw(parameter.initialization, parameter.desc, i);
  return values;
}

}  // namespace trainer
