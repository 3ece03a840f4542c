// A float or double that counts what is done with it, and flips one bit of one value: of the result of an operation, or of a value as
// it is read from memory or from a variable. The portable kernels are compiled over it (counted_kernels.cpp). It has the size and
// layout of the number that it stands for, so that the same buffers serve both.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace faults {

enum class Event { arithmetic, load };

// Of this process, since operators have no other place to count at.
struct Counter {
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  std::uint64_t left[2] = {kNever, kNever};  // events of each kind before the one that is hit
  unsigned bit = 0;                          // of the value, modulo its bits
  bool hit = false;                          // whether it was flipped

  std::uint64_t count(Event event) const { return kNever - left[static_cast<int>(event)]; }
};
inline Counter counter;

template <typename T>
constexpr T passed(Event event, T value) {
  if (std::is_constant_evaluated() || counter.left[static_cast<int>(event)]-- != 0) return value;
  counter.hit = true;
  using Word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const Word one = 1;
  return __builtin_bit_cast(T, __builtin_bit_cast(Word, value) ^ one << counter.bit % (8 * sizeof(T)));
}

template <typename T>
class Counted {
 public:
  Counted() = default;
  // A constant, or an integer that is converted.
  template <typename U, typename = std::enable_if_t<std::is_arithmetic_v<U>>>
  constexpr Counted(U value)  // NOLINT: implicit, as for a float
      : value_(passed(std::is_integral_v<U> ? Event::arithmetic : Event::load, static_cast<T>(value))) {}
  // A float is a double where one is asked for; the reverse rounds, and is asked for by name.
  template <typename U>
  explicit(sizeof(U) > sizeof(T)) constexpr Counted(const Counted<U>& from)
      : value_(passed(Event::arithmetic, static_cast<T>(from.raw()))) {}

  // A copy reads its source; what moves is a result on its way.
  constexpr Counted(const Counted& from) : value_(passed(Event::load, from.value_)) {}
  constexpr Counted(Counted&& from) = default;
  constexpr Counted& operator=(const Counted& from) {
    value_ = passed(Event::load, from.value_);
    return *this;
  }
  constexpr Counted& operator=(Counted&& from) = default;
  ~Counted() = default;

  template <typename U, typename = std::enable_if_t<std::is_arithmetic_v<U>>>
  explicit constexpr operator U() const {
    return static_cast<U>(passed(Event::load, value_));
  }
  constexpr T raw() const { return value_; }
  static constexpr Counted of(T value) {
    Counted result;
    result.value_ = value;
    return result;
  }

  // Operands are taken by value: those that are variables are read, those that are results are not.
  friend constexpr Counted operator+(Counted a, Counted b) { return result(a.value_ + b.value_); }
  friend constexpr Counted operator-(Counted a, Counted b) { return result(a.value_ - b.value_); }
  friend constexpr Counted operator*(Counted a, Counted b) { return result(a.value_ * b.value_); }
  friend constexpr Counted operator/(Counted a, Counted b) { return result(a.value_ / b.value_); }
  friend constexpr Counted operator-(Counted a) { return result(-a.value_); }
  friend constexpr Counted& operator+=(Counted& a, Counted b) { return a = a + b; }
  friend constexpr Counted& operator-=(Counted& a, Counted b) { return a = a - b; }
  friend constexpr bool operator==(Counted a, Counted b) { return a.value_ == b.value_; }
  friend constexpr bool operator!=(Counted a, Counted b) { return a.value_ != b.value_; }
  friend constexpr bool operator<(Counted a, Counted b) { return a.value_ < b.value_; }
  friend constexpr bool operator>(Counted a, Counted b) { return a.value_ > b.value_; }
  friend constexpr bool operator<=(Counted a, Counted b) { return a.value_ <= b.value_; }
  friend constexpr bool operator>=(Counted a, Counted b) { return a.value_ >= b.value_; }
  friend Counted counted_root(Counted a) { return result(std::sqrt(a.value_)); }

 private:
  static constexpr Counted result(T value) { return of(passed(Event::arithmetic, value)); }

  T value_;
};

// The kernels' divisions, whose sides have one type, where one of them is a constant.
template <typename U, typename T, typename = std::enable_if_t<std::is_arithmetic_v<U>>>
Counted<T> portable_div(U a, Counted<T> b) {
  return Counted<T>(a) / b;
}
template <typename U, typename T, typename = std::enable_if_t<std::is_arithmetic_v<U>>>
Counted<T> exact_quotient(U a, Counted<T> b) {
  return Counted<T>(a) / b;
}

// What memcpy and the cast of bits are to the kernels.
template <typename T>
void counted_copy(Counted<T>* to, const Counted<T>* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes / sizeof(T); ++i) to[i] = from[i];
}
inline void counted_copy(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

template <typename T>
constexpr T plain(T value) {
  return value;
}
template <typename T>
constexpr T plain(const Counted<T>& value) {
  return passed(Event::load, value.raw());
}
template <typename To, typename From>
constexpr To counted_bits(const From& from) {
  if constexpr (std::is_arithmetic_v<To>) {
    return __builtin_bit_cast(To, plain(from));
  } else {
    return To::of(__builtin_bit_cast(decltype(To{}.raw()), plain(from)));
  }
}

}  // namespace faults
