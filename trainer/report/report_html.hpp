// What every part of a run's page is made with. All text that comes from a file or a command line goes
// through escaped(): a name may hold anything.
#pragma once

#include <string>
#include <string_view>

#include "data/image.hpp"

namespace trainer {

// Safe inside elements and quoted attributes; bytes that are not UTF-8 and control characters become U+FFFD.
std::string escaped(std::string_view text);

// "data:image/png;base64,...", the picture itself instead of its address.
std::string data_uri(const data::Image& image);

// A part of the page that is not there, and why.
std::string missing_part(const std::string& reason);

// A table, list or picture that scrolls by itself where the page is too narrow for it. `name` says what it is
// to who cannot see it.
std::string scrolling(const std::string& name, const std::string& html);

}  // namespace trainer
