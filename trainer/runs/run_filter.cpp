#include "trainer/runs/run_filter.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fnmatch.h>
#include <functional>

#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

template <class Compare>
bool compares(const RunValue& value, const RunValue& wanted) {
  return Compare()(value, wanted);
}

bool is_like(const RunValue& value, const RunValue& pattern) {
  return fnmatch(std::get<std::string>(pattern).c_str(), std::get<std::string>(value).c_str(),
                 FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

struct Operation {
  const char* symbol;
  decltype(RunCondition::holds) holds;
  bool of_patterns = false;
};
constexpr std::array kOperations{
    Operation{"==", compares<std::equal_to<>>},
    Operation{"!=", compares<std::not_equal_to<>>},
    Operation{"<", compares<std::less<>>},
    Operation{"<=", compares<std::less_equal<>>},
    Operation{">", compares<std::greater<>>},
    Operation{">=", compares<std::greater_equal<>>},
    Operation{"=~", is_like, true},
    Operation{"!~", [](const RunValue& value, const RunValue& pattern) { return !is_like(value, pattern); },
              true},
};

constexpr const char* kBlank = " \t\n";
constexpr const char* kEndsAWord = " \t\n=!<>~&|()'\"";

class ConditionReader {
 public:
  explicit ConditionReader(const std::string& text) : text_(text) {}

  std::vector<RunCondition> all() {
    std::vector<RunCondition> conditions;
    while (true) {
      conditions.push_back(condition());
      const std::string joint = take("&|", true);
      if (begin_ == text_.size()) return conditions;
      if (joint != "&&") refuse(found() + " stands where && should");
    }
  }

 private:
  // From the next word on, the characters that are in `set`, or that are not.
  std::string take(const char* set, bool in_set) {
    begin_ = at_ = std::min(text_.find_first_not_of(kBlank, at_), text_.size());
    while (at_ < text_.size() && (std::strchr(set, text_[at_]) != nullptr) == in_set) ++at_;
    return text_.substr(begin_, at_ - begin_);
  }

  std::string found() const {
    if (begin_ == text_.size()) return "the end of the expression";
    return in_quotes(text_.substr(begin_, text_.find_first_of(kBlank, begin_) - begin_));
  }

  // What && cannot say is named where somebody tries to say it.
  [[noreturn]] void refuse(const std::string& reason) const {
    const bool tries = std::strchr("|!()", begin_ < text_.size() ? text_[begin_] : ' ') != nullptr;
    throw UsageError(fmt::format(
        "--where {}: column {}: {}{}", in_quotes(text_), begin_ + 1, reason,
        tries ? "; for or, not and brackets: --json | jq 'map(select(.epochs > 5 or .seed == 1))'" : ""));
  }

  RunCondition condition() {
    const std::string name = take(kEndsAWord, false);
    if (name.empty())
      refuse(fmt::format("{} stands where a field should; one of {}", found(), joined(field_names())));
    const RunField* field = find_field(name);
    if (field == nullptr) refuse(unknown_word("field", name, field_names()));
    const Operation& operation = this->operation(*field);
    const std::string text = value(*field);
    if (operation.of_patterns) return {field, operation.holds, pattern(text)};
    if (field->kind == FieldKind::text) return {field, operation.holds, text};
    return {field, operation.holds, number(*field, text)};
  }

  static std::string kind_of(const RunField& field) {
    return fmt::format("{}, a {}", field.name, field.kind == FieldKind::number ? "number" : "text");
  }

  const Operation& operation(const RunField& field) {
    const std::string symbol = take("=!<>~", true);
    Words choices;
    for (const Operation& operation : kOperations) {
      if (operation.of_patterns && field.kind == FieldKind::number) continue;
      if (symbol == operation.symbol) return operation;
      choices.emplace_back(operation.symbol);
    }
    if (symbol == "=") refuse("= compares nothing; did you mean ==?");
    refuse(fmt::format("{} stands where a comparison of {}, should; one of {}", found(), kind_of(field),
                       joined(choices)));
  }

  std::string value(const RunField& field) {
    std::string word = take(kEndsAWord, false);
    const char quote = word.empty() && at_ < text_.size() ? text_[at_] : ' ';
    if (quote == '\'' || quote == '"') return quoted(quote);
    if (word.empty()) refuse(fmt::format("{} stands where a value of {}, should", found(), kind_of(field)));
    return word;
  }

  double number(const RunField& field, const std::string& word) const {
    double number = 0;
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data() + (word.starts_with('+') ? 1 : 0), end, number);
    if (error != std::errc() || stop != end || !std::isfinite(number))
      refuse(fmt::format("{} stands where a value of {}, should", in_quotes(word), kind_of(field)));
    return number;
  }

  // A backslash before the text's own quote makes that an ordinary character.
  std::string quoted(char quote) {
    std::string word;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == quote) ++at_;
      word += text_[at_];
    }
    if (at_ == text_.size()) refuse(fmt::format("the text has no closing {}", quote));
    ++at_;
    return word;
  }

  // A regular expression would be another pattern than its writer thinks.
  std::string pattern(const std::string& word) const {
    if (word.find_first_of("^$|\\") != std::string::npos || word.find(".*") != std::string::npos)
      refuse(fmt::format(
          "{} looks like a regular expression, but a part of the text is taken, or a pattern for all of it "
          "with * ? [...]; else: --json | jq 'map(select(.id | test(\"REGEX\")))'",
          in_quotes(word)));
    return word.find_first_of("*?[") == std::string::npos ? "*" + word + "*" : word;
  }

  const std::string& text_;
  std::size_t begin_ = 0;  // of what was taken last
  std::size_t at_ = 0;
};

}  // namespace

std::vector<RunCondition> run_conditions(const std::string& expression) {
  return ConditionReader(expression).all();
}

bool meets(const KnownRun& run, const RunCondition& condition) {
  const RunValue value = condition.field->value(run);
  return !std::holds_alternative<std::monostate>(value) && condition.holds(value, condition.wanted);
}

}  // namespace trainer
