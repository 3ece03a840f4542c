// The alphabets of what reaches a command line.
#include "trainer/remote/target.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "models/words.hpp"

namespace trainer {

namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Begins with a letter, a digit or one of `more_first`, goes on with those or one of `more`.
bool is_spelled(std::string_view text, std::string_view more_first, std::string_view more) {
  const auto is_one_of = [](char c, std::string_view set) { return set.find(c) != std::string_view::npos; };
  if (text.empty() || (!is_letter_or_digit(text[0]) && !is_one_of(text[0], more_first))) return false;
  return std::ranges::all_of(text.substr(1), [&](char c) {
    return is_letter_or_digit(c) || is_one_of(c, more_first) || is_one_of(c, more);
  });
}

std::string fault(std::string_view text, std::string_view wanted) {
  return fmt::format("{}: {}", in_quotes(text), wanted);
}

}  // namespace

const char* target_type_word(TargetType type) {
  switch (type) {
    case TargetType::local:
      return "local";
    case TargetType::localdocker:
      return "localdocker";
    case TargetType::remotedocker:
      return "remotedocker";
  }
  return "";
}

std::string fault_of_target_name(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  if (is_spelled(name, "", "._-") && name.size() <= kLongest) return "";
  return fault(
      name, "a target's name is at most 64 letters, digits, '.', '_' and '-', the first a letter or digit");
}

// A colon is for IPv6, a percent sign for its zone.
std::string fault_of_address(std::string_view address) {
  constexpr std::size_t kLongest = 253;
  if (is_spelled(address, ":", ".-_%") && address.size() <= kLongest) return "";
  return fault(address,
               "a host name or an IP address, without user, port and brackets, not beginning with '-'");
}

std::string fault_of_username(std::string_view username) {
  constexpr std::size_t kLongest = 64;
  if (is_spelled(username, "_", ".-") && username.size() <= kLongest) return "";
  return fault(username, "letters, digits, '.', '_' and '-', not beginning with '-' or '.'");
}

std::string fault_of_image(std::string_view image) {
  constexpr std::size_t kLongest = 255;
  if (is_spelled(image, "", "._-/:@") && image.size() <= kLongest && !image.ends_with(':')) return "";
  return fault(image,
               "an image is named like mnist-trainer:1.0 or registry/name:tag, not beginning with '-'");
}

std::string fault_of_gpus(std::string_view gpus) {
  if (gpus == "all" || gpus == "none") return "";
  std::string_view rest = gpus;
  bool good = !rest.empty() && rest.size() <= 64;
  while (good) {
    const std::size_t comma = rest.find(',');
    const std::string_view index = rest.substr(0, comma);
    good = !index.empty() && index.size() <= 3 &&
           std::ranges::all_of(index, [](char c) { return c >= '0' && c <= '9'; });
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return good ? "" : fault(gpus, "all, none, or the indices of GPUs like 0 or 0,1");
}

std::string fault_of_path(std::string_view path) {
  if (!path.empty() && path[0] != '-' && std::ranges::none_of(path, is_control)) return "";
  return fault(path, "a path, not beginning with '-', without control characters");
}

std::string fault_of_variable_name(std::string_view name) {
  const bool digit_first = !name.empty() && name[0] >= '0' && name[0] <= '9';
  if (is_spelled(name, "_", "") && !digit_first) return "";
  return fault(name, "a variable's name is letters, digits and '_', the first no digit");
}

}  // namespace trainer
