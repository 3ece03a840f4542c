#include "trainer/console/markup.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "models/words.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::array<std::pair<char, const char*>, 5> kEntities{
    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}}};

}  // namespace

// The JSON library replaces bytes that are not UTF-8.
std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : nlohmann::ordered_json::parse(to_text(std::string(text))).get<std::string>()) {
    const auto entity = std::ranges::find(kEntities, c, &std::pair<char, const char*>::first);
    if (entity != kEntities.end())
      html += entity->second;
    else if (is_control(c) && c != '\n' && c != '\t')
      html += kReplacement;
    else
      html += c;
  }
  return html;
}

}  // namespace trainer
