// Text within HTML and XML.
#pragma once

#include <string>
#include <string_view>

namespace trainer {

// The result is safe inside elements and quoted attributes; bytes that are not UTF-8 and control characters become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace trainer
