#include "trainer/report/report_html.hpp"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/png.hpp"
#include "models/words.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD

// JSON's writer knows UTF-8 well.
std::string valid_utf8(std::string_view text) {
  using nlohmann::json;
  const std::string quoted = to_text(std::string(text));
  return json::parse(quoted).get<std::string>();
}

// RFC 4648.
std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < here ? bytes[at + i] : 0U);
    for (std::size_t i = 0; i < 4; ++i) text += i <= here ? kDigits[bits >> (18 - 6 * i) & 63U] : '=';
  }
  return text;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        is_control(c)&& c != '\n' && c != '\t' ? html += kReplacement : html += c;
    }
  }
  return html;
}

std::string data_uri(const data::Image& image) {
  return "data:image/png;base64," + base64(data::png_file(image));
}

std::string missing_part(const std::string& reason) {
  return fmt::format("<p class=\"missing\">{}</p>\n", escaped(reason));
}

std::string scrolling(const std::string& name, const std::string& html) {
  return fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{}</div>\n",
                     escaped(name), html);
}

}  // namespace trainer
