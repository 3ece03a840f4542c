// The one way from an argument vector to a shell: ssh hands its command to the user's shell on the other
// machine as one text, so every word is quoted such that a POSIX shell gives exactly that word back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// 'it'\''s': in single quotes nothing is special but the quote itself. Words of harmless characters stay as
// they are. Throws UsageError for a zero byte, which no argument can hold.
[[nodiscard]] std::string shell_word(std::string_view word);
[[nodiscard]] std::string shell_command(const std::vector<std::string>& words);

}  // namespace trainer
