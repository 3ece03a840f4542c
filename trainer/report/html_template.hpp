// Fills a page's template with values. All text that comes from a file or a command line gets onto the page here, escaped.
//   {{name}}                    the value, escaped; {{.}} is the value of the section around it
//   {{#name}} ... {{/name}}     once for each value of a list, once for any other value, not at all where it is absent,
//                               null, false, "" or an empty list
//   {{^name}} ... {{/name}}     once where {{#name}} would stand not at all
//   {{<name}} ... {{/name}}     a part, which stands wherever {{>name}} does
//   {{! ... }}                  a comment
// A name is looked up in the section's value, then in those around it. A section contains no section of its own name. The line
// break after a tag that is not a value belongs to the tag. The language is a part of Mustache.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace trainer {

[[nodiscard]] std::string filled_template(std::string_view text, const nlohmann::ordered_json& values);

}  // namespace trainer
