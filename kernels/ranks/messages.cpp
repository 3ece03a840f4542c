#include "kernels/ranks/messages.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "kernels/ranks/gradient_code.hpp"

namespace trainer {

std::vector<std::size_t> divide_columns(std::span<const Column> columns, int bits, int parts) {
  std::size_t total = 0;
  for (const Column& column : columns) total += code_words(column.bits(bits), column.rows);
  std::vector<std::size_t> first{0};
  std::size_t c = 0;
  std::size_t before = 0;  // words in front of column c
  for (int part = 1; part < parts; ++part) {
    const std::size_t target = total * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts);
    // To the border nearest to the target.
    for (; c < columns.size(); ++c) {
      const std::size_t after = before + code_words(columns[c].bits(bits), columns[c].rows);
      if (before + after > 2 * target) break;
      before = after;
    }
    first.push_back(c);
  }
  first.push_back(columns.size());
  return first;
}

Messages::Messages(const std::vector<Column>& columns, const std::vector<std::size_t>& stripes, int code_bits)
    : bits(code_bits), scattered{0}, scattered_borders{0}, gathered_borders{0} {
  std::size_t end = 0;
  for (std::size_t stripe = 0; stripe + 1 < stripes.size(); ++stripe) {
    end += kHeaderWords;
    for (std::size_t c = stripes[stripe]; c < stripes[stripe + 1]; ++c) {
      const std::size_t words = code_words(columns[c].bits(bits), columns[c].rows);
      scattered.push_back(scattered.back() + words);
      gathered.push_back(end);
      end += words;
    }
    scattered_borders.push_back(4 * scattered.back());
    gathered_borders.push_back(4 * end);
  }
}

Residuals shared_out(const Residuals& residuals, int ranks) {
  const std::size_t floats = residuals.sum.size();
  Residuals shared{.own = std::vector<float>(floats * static_cast<std::size_t>(ranks)), .sum = residuals.sum};
  for (std::size_t i = 0; i < floats; ++i) {
    double sum = 0;
    for (std::size_t at = i; at < residuals.own.size(); at += floats) sum += residuals.own[at];
    for (std::size_t at = i; at < shared.own.size(); at += floats) {
      shared.own[at] = static_cast<float>(sum / ranks);
    }
  }
  return shared;
}

const ExchangeDesc& checked_exchange(const ExchangeDesc& desc) {
  if (desc.bits != 1 && desc.bits != 16 && desc.bits != 32) {
    throw std::invalid_argument(fmt::format("gradients of {} bits: 1, 16 and 32 are possible", desc.bits));
  }
  std::size_t end = 0;
  for (const Column& column : desc.columns) {
    if (column.rows == 0 || column.begin < end || column.begin + column.rows > desc.floats) {
      throw std::invalid_argument(
          fmt::format("a column of {} floats from {} on, after one that ends at {}, in a gradient of {}",
                      column.rows, column.begin, end, desc.floats));
    }
    end = column.begin + column.rows;
  }
  return desc;
}

Residuals gathered_residuals(const ExchangeDesc& desc, const std::vector<std::size_t>& stripes,
                             const std::vector<float>& own, const std::vector<float>& sum) {
  if (desc.bits == 32) return {};
  Residuals all{.own = std::vector<float>((stripes.size() - 1) * desc.floats), .sum = sum};
  std::ranges::copy(own, all.own.begin() + static_cast<std::ptrdiff_t>(desc.ranks->rank() * desc.floats));
  std::vector<std::size_t> own_borders{0};
  std::vector<std::size_t> sum_borders{0};
  for (const std::size_t stripe : std::span(stripes).subspan(1)) {
    own_borders.push_back(own_borders.back() + 4 * desc.floats);
    sum_borders.push_back(4 * (stripe < desc.columns.size() ? desc.columns[stripe].begin : desc.floats));
  }
  desc.ranks->all_gather(all.own.data(), own_borders);
  desc.ranks->all_gather(all.sum.data(), sum_borders);
  return all;
}

Residuals fitting_residuals(const ExchangeDesc& desc, const Residuals& residuals) {
  const std::size_t floats = desc.bits == 32 ? 0 : desc.floats;
  if (residuals.sum.size() != floats || (floats > 0 && residuals.own.size() % floats != 0)) {
    throw std::invalid_argument(
        fmt::format("residuals of {} and {} floats for a gradient of {} bits and {} floats",
                    residuals.own.size(), residuals.sum.size(), desc.bits, desc.floats));
  }
  const int size = desc.ranks->size();
  return residuals.own.size() == static_cast<std::size_t>(size) * floats ? residuals
                                                                         : shared_out(residuals, size);
}

}  // namespace trainer
