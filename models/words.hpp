// Words and numbers for people: how errors report an unknown word, quoted safely, with the nearest known word and all
// choices. The words may come from hostile files, so none of them reaches a terminal unchecked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

using Words = std::vector<std::string>;

std::string lower(std::string_view text);  // changes ASCII letters only

// Whether a character may move a terminal's cursor or change its colours; printable() replaces it with '?'.
bool is_control(char c);
std::string printable(std::string_view text);

// 'word' in quotes, at most 40 bytes of it, with control characters as '?'.
std::string in_quotes(std::string_view word);

// "conv, maxpool, dense"
std::string joined(const Words& words);

std::string grouped(std::uint64_t number);  // 1234567 as "1,234,567"

// The choice that is a few typing errors away (insertion, deletion, replacement, two neighbours swapped;
// capitals do not count), or "" if none is.
std::string nearest_word(std::string_view word, const Words& choices);

// "unknown layer 'covn'; did you mean conv? one of conv, maxpool"
std::string unknown_word(std::string_view what, std::string_view word, const Words& choices);

}  // namespace trainer
