// Filling a page's template with values: all text that comes from a file or a command line gets onto the page here, escaped.
//   {{name}}                    the value, escaped; {{.}} is the value of the section around it
//   {{#name}} ... {{/name}}     once for each value of a list, once for any other value, not at all where it is absent,
//                               null, false, "" or an empty list
//   {{^name}} ... {{/name}}     once where the former stands not at all
//   {{<name}} ... {{/name}}     a part, which stands wherever {{>name}} does
//   {{! ... }}                  a comment
// A name is looked up in the section's value, then in those around it. A section holds none of its own name. The line's end
// behind a tag that is no value belongs to the tag. These are words of Mustache.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace trainer {

[[nodiscard]] std::string filled_template(std::string_view text, const nlohmann::ordered_json& values);

// Safe inside elements and quoted attributes; bytes that are not UTF-8 and control characters become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace trainer
