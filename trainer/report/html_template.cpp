// The language of report.html.
#include <utility>
#include <vector>

#include "trainer/console/text_table.hpp"
#include "trainer/report/report_page.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

bool is_nothing(const ordered_json* value) {
  if (value == nullptr || value->is_null() || *value == false) return true;
  return value->is_string() ? value->get_ref<const std::string&>().empty()
                            : value->is_array() && value->empty();
}

class Filling {
 public:
  Filling(std::string_view whole, const ordered_json& values) : whole_(whole), around_{&values} {}

  void fill(std::string_view text) {
    for (std::size_t tag = text.find("{{"); tag != std::string_view::npos; tag = text.find("{{")) {
      html_ += text.substr(0, tag);
      const std::size_t end = text.find("}}", tag);
      std::string_view name = text.substr(tag + 2, end - tag - 2);
      text.remove_prefix(end + 2);
      const char kind = name.front();
      if (std::string_view("#^<>!").find(kind) == std::string_view::npos) {
        append(value_of(name));
        continue;
      }
      name.remove_prefix(1);
      const std::string_view body = kind == '>' || kind == '!' ? "" : take_body(text, name);
      if (text.starts_with('\n')) text.remove_prefix(1);
      if (kind == '#') fill_each(body, value_of(name));
      if (kind == '^' && is_nothing(value_of(name))) fill(body);
      if (kind == '>') fill(part(name));
    }
    html_ += text;
  }

  std::string html() && { return std::move(html_); }

 private:
  // Takes from `text` what comes before the end of the section that has just begun.
  static std::string_view take_body(std::string_view& text, std::string_view name) {
    const std::string close = "{{/" + std::string(name) + "}}";
    std::string_view body = text.substr(0, text.find(close));
    text.remove_prefix(body.size() + close.size());
    if (body.starts_with('\n')) body.remove_prefix(1);
    return body;
  }

  std::string_view part(std::string_view name) const {
    const std::string open = "{{<" + std::string(name) + "}}";
    std::string_view rest = whole_.substr(whole_.find(open) + open.size());
    return take_body(rest, name);
  }

  void fill_each(std::string_view body, const ordered_json* value) {
    if (is_nothing(value)) return;
    const auto once = [&](const ordered_json& one) {
      around_.push_back(&one);
      fill(body);
      around_.pop_back();
    };
    if (!value->is_array()) return once(*value);
    for (const ordered_json& one : *value) once(one);
  }

  const ordered_json* value_of(std::string_view name) const {
    if (name == ".") return around_.back();
    for (auto values = around_.rbegin(); values != around_.rend(); ++values) {
      if (const auto found = (*values)->find(std::string(name)); found != (*values)->end()) return &*found;
    }
    return nullptr;
  }

  void append(const ordered_json* value) {
    if (!is_nothing(value))
      html_ += escaped(value->is_string() ? value->get_ref<const std::string&>() : to_text(*value));
  }

  std::string_view whole_;
  std::vector<const ordered_json*> around_;  // the innermost section's value comes last
  std::string html_;
};

}  // namespace

std::string filled_template(std::string_view text, const ordered_json& values) {
  Filling filling(text, values);
  filling.fill(text);
  return std::move(filling).html();
}

}  // namespace trainer
