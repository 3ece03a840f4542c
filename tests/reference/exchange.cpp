#include "tests/reference/exchange.hpp"

#include <cmath>

namespace trainer::reference {

namespace {

double mean(const Values& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// One bit: a value becomes the mean of those with its sign.
Values signs(const Values& v) {
  Values negative, positive;
  for (const double value : v) (value < 0 ? negative : positive).push_back(value);
  const bool tiny = mean(positive) - mean(negative) < 1e-36;
  Values sent;
  for (const double value : v) sent.push_back(tiny ? 0 : mean(value < 0 ? negative : positive));
  return sent;
}

// Eight significant bits, to the nearest, ties to even (the rounding mode of nearbyint); no subnormal numbers here.
double bf16(double value) {
  if (value == 0) return 0;
  const int exponent = std::ilogb(value) - 7;
  return std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
}

Values column_of(const Values& arena, const Column& column) {
  const auto begin = arena.begin() + static_cast<std::ptrdiff_t>(column.begin);
  return {begin, begin + static_cast<std::ptrdiff_t>(column.rows)};
}

// Codes one column of an arena, whose residual it updates; returns what is sent.
Values send(int bits, const Column& column, const Values& x, Values& residual) {
  const CodedColumn result = coded(column.bits(bits), x, column_of(residual, column));
  for (std::size_t i = 0; i < column.rows; ++i) residual[column.begin + i] = result.residual[i];
  return result.sent;
}

}  // namespace

CodedColumn coded(int bits, const Values& x, const Values& residual) {
  if (bits == 32) return {x, residual};
  Values v = x;
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += residual[i];
  CodedColumn result;
  if (bits == 1) result.sent = signs(v);
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (bits == 16) result.sent.push_back(bf16(v[i]));
    result.residual.push_back(v[i] - result.sent[i]);
  }
  return result;
}

Values exchanged(int bits, const std::vector<Column>& columns, const std::vector<Values>& gradients,
                 Kept& kept) {
  Values result(kept.sum.size());
  for (const Column& column : columns) {
    Values sum(column.rows);
    for (std::size_t rank = 0; rank < gradients.size(); ++rank) {
      const Values sent = send(bits, column, column_of(gradients[rank], column), kept.own[rank]);
      for (std::size_t i = 0; i < column.rows; ++i) sum[i] += sent[i];
    }
    const Values sent = send(bits, column, sum, kept.sum);
    for (std::size_t i = 0; i < column.rows; ++i) result[column.begin + i] = sent[i];
  }
  return result;
}

}  // namespace trainer::reference
