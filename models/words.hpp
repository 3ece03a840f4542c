// Words and numbers for people: how errors speak of a word that is not known, quoted safely, with the nearest known word
// and all choices.
// The words come from hostile files, so that nothing of them reaches a terminal unchecked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

using Words = std::vector<std::string>;

std::string lower(std::string_view text);  // ASCII letters alone

// Whether a character may move a terminal's cursor or change its colours; printable() writes '?' in its place.
bool is_control(char c);
std::string printable(std::string_view text);

// 'word', at most 40 characters of it, control characters as '?'.
std::string in_quotes(std::string_view word);

// "conv, maxpool, dense"
std::string joined(const Words& words);

std::string grouped(std::uint64_t number);  // 1234567 as "1,234,567"

// The choice that is a few slips of the keyboard away (insertion, deletion, replacement, two neighbours
// swapped; capitals do not count), or "" when none is.
std::string nearest_word(std::string_view word, const Words& choices);

// "unknown layer 'covn'; did you mean conv? one of conv, maxpool"
std::string unknown_word(std::string_view what, std::string_view word, const Words& choices);

}  // namespace trainer
