// The fields of a run by name, and the conditions of --where.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fnmatch.h>
#include <functional>

#include "trainer/console/json_lookup.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {

namespace {

// Whole numbers are written without a decimal point.
ordered_json number(std::optional<double> value) {
  constexpr double kMostExact = 9007199254740992;  // 2^53
  if (!value || !std::isfinite(*value)) return nullptr;
  const bool whole = *value == std::floor(*value) && std::abs(*value) <= kMostExact;
  return whole ? ordered_json(static_cast<std::int64_t>(*value)) : ordered_json(*value);
}

ordered_json text(const std::string& value) {
  return value.empty() ? ordered_json(nullptr) : ordered_json(value);
}

ordered_json text_at(const ordered_json& json, JsonPath path) {
  return text(find_text(json, path).value_or(""));
}

// The median over the epochs that took time.
template <class Quantity>
std::optional<double> median_of(const KnownRun& run, Quantity quantity) {
  std::vector<double> values;
  for (const EpochRecord& epoch : run.epochs)
    if (epoch.seconds > 0) values.push_back(std::invoke(quantity, epoch));
  return values.empty() ? std::nullopt : std::optional(median(std::move(values)));
}

// The median that the run's own summary has, or the same from its metrics if it was cut off before it wrote one.
ordered_json epoch_seconds(const KnownRun& run) {
  const auto recorded = find_number(run.record.results, {"epoch_seconds", "median"});
  return number(recorded ? recorded : median_of(run, &EpochRecord::seconds));
}

ordered_json of_score(const KnownRun& run, const char* split, double Score::*part) {
  const std::optional<Score> score = run.score(split);
  return score ? number(*score.*part) : nullptr;
}

constexpr std::string_view kNumber = "number", kText = "text", kTime = "time";

constexpr std::array kFields{
    RunField{"id", kText, "name of the run's folder", [](const KnownRun& r) { return text(r.id); }},
    RunField{"model", kText, "network", [](const KnownRun& r) { return text(r.record.model); }},
    RunField{"device", kText, "processor or GPU that trained",
             [](const KnownRun& r) { return text_at(r.record.device, {"name"}); }},
    RunField{"target", kText, "where it ran: local, or another machine",
             [](const KnownRun& r) { return text(target_name(r.record)); }},
    RunField{"status", kText,
             "submitted, running, finished, stopped, failed, killed: ended without closing its record, or "
             "copied: from elsewhere, while it ran",
             [](const KnownRun& r) { return text(r.status()); }},
    RunField{"reason", kText, "why it ended", [](const KnownRun& r) { return text(r.record.reason); }},
    RunField{"started", kTime, "2026-01-31T09:30:00+01:00; to compare, 2026-01 or 2026-01-31T09:30 do too",
             [](const KnownRun& r) { return text(r.record.started); }},
    RunField{"host", kText, "name of the machine",
             [](const KnownRun& r) { return text_at(r.record.machine, {"host"}); }},
    RunField{"precision", kText, "of products: fp32, bf16 ...",
             [](const KnownRun& r) { return text(is_submission(r.record) ? "" : r.precision()); }},
    RunField{
        "accuracy", kNumber,
        "fraction of the test images, 0 to 1, at the last evaluation; of a sprint the mean over its seeds",
        [](const KnownRun& r) { return number(r.accuracy()); }},
    RunField{"views", kNumber,
             "of an uncertain test image: results with more than 1 are a class of their own",
             [](const KnownRun& r) { return ordered_json(r.sprint ? r.sprint->views : 1); }},
    RunField{"loss", kNumber, "of the test images, at the last evaluation",
             [](const KnownRun& r) { return of_score(r, "test", &Score::loss); }},
    RunField{"validation_accuracy", kNumber, "fraction of the validation images, at the last evaluation",
             [](const KnownRun& r) { return of_score(r, "validation", &Score::accuracy); }},
    RunField{"epochs", kNumber, "evaluations done",
             [](const KnownRun& r) { return ordered_json(r.evaluations()); }},
    RunField{"epoch_seconds", kNumber, "median time of an epoch's steps", epoch_seconds},
    RunField{"images_per_second", kNumber, "median over the epochs",
             [](const KnownRun& r) { return number(median_of(r, &EpochRecord::images_per_second)); }},
    RunField{"seconds", kNumber, "in all, over all parts of a resumed run",
             [](const KnownRun& r) { return r.seconds() > 0 ? number(r.seconds()) : nullptr; }},
    RunField{"seed", kNumber, "of initialisation, order and dropout",
             [](const KnownRun& r) { return ordered_json(r.record.seed); }},
    RunField{"batch", kNumber, "images of a step",
             [](const KnownRun& r) { return number(find_number(r.record.recipe, {"batch"})); }},
    RunField{"threads", kNumber, "of the CPU engine",
             [](const KnownRun& r) { return ordered_json(r.record.threads); }},
    RunField{"ranks", kNumber, "processes that trained together",
             [](const KnownRun& r) {
               return ordered_json(find_number(r.record.results, {"ranks", "count"}).value_or(1));
             }},
    RunField{"machines", kNumber, "of the ranks",
             [](const KnownRun& r) {
               return ordered_json(find_number(r.record.results, {"ranks", "machines"}).value_or(1));
             }},
    RunField{"exchange_seconds", kNumber, "of training, for the exchange of gradients between ranks",
             [](const KnownRun& r) {
               return number(find_number(r.record.results, {"ranks", "exchange_seconds"}));
             }},
    RunField{"energy_joules", kNumber, "of the GPU, where the run recorded it",
             [](const KnownRun& r) { return number(find_number(r.record.results, {"energy_joules"})); }},
    RunField{"note", kText, "where run.json, which is believed, and metrics.jsonl disagree",
             [](const KnownRun& r) { return text(r.disagreement()); }},
};

const RunField* find_field(std::string_view name) {
  const auto found = std::ranges::find(kFields, name, &RunField::name);
  return found == kFields.end() ? nullptr : &*found;
}

// What orders the values of a field.
ordered_json comparable(const RunField& field, const ordered_json& value) {
  return field.kind == kTime && value.is_string() ? number(instant_of(value)) : value;
}

template <class Compare>
bool compares(const ordered_json& value, const ordered_json& wanted) {
  return Compare()(value, wanted);
}

bool is_like(const ordered_json& value, const ordered_json& pattern) {
  return fnmatch(pattern.get_ref<const std::string&>().c_str(), value.get_ref<const std::string&>().c_str(),
                 FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

struct Operation {
  const char* symbol;
  bool (*holds)(const ordered_json& value, const ordered_json& wanted);
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
    Operation{"!~",
              [](const ordered_json& value, const ordered_json& pattern) { return !is_like(value, pattern); },
              true},
};

using RunCondition = std::function<bool(const KnownRun&)>;

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
  // Skips blanks and takes the characters that are in `set`, or those that are not.
  std::string take(const char* set, bool in_set) {
    begin_ = at_ = std::min(text_.find_first_not_of(kBlank, at_), text_.size());
    while (at_ < text_.size() && (std::strchr(set, text_[at_]) != nullptr) == in_set) ++at_;
    return text_.substr(begin_, at_ - begin_);
  }

  std::string found() const {
    if (begin_ == text_.size()) return "the end of the expression";
    return in_quotes(text_.substr(begin_, text_.find_first_of(kBlank, begin_) - begin_));
  }

  // If somebody tries to write what && cannot say, the error names the way to say it.
  [[noreturn]] void refuse(const std::string& reason) const {
    const bool tries = std::strchr("|!()", begin_ < text_.size() ? text_[begin_] : ' ') != nullptr;
    throw UsageError(fmt::format(
        "--where {}: column {}: {}{}", in_quotes(text_), begin_ + 1, reason,
        tries ? "; for or, not and brackets: --json | jq 'map(select(.epochs > 5 or .seed == 1))'" : ""));
  }
  [[noreturn]] void refuse_value(const RunField& field, const std::string& value) const {
    refuse(fmt::format("{} stands where a value of {}, a {}, should", value, field.name, field.kind));
  }

  RunCondition condition() {
    const std::string name = take(kEndsAWord, false);
    if (name.empty())
      refuse(fmt::format("{} stands where a field should; one of {}", found(), joined(field_names())));
    const RunField* field = find_field(name);
    if (field == nullptr) refuse(unknown_word("field", name, field_names()));
    const Operation& operation = this->operation(*field);
    const std::string word = value(*field);
    const ordered_json wanted = operation.of_patterns    ? ordered_json(pattern(word))
                                : field->kind == kNumber ? ordered_json(finite_number(*field, word))
                                                         : comparable(*field, ordered_json(word));
    if (wanted.is_null()) refuse_value(*field, in_quotes(word));
    return [field, &operation, wanted](const KnownRun& run) {
      const ordered_json value =
          operation.of_patterns ? field->value(run) : comparable(*field, field->value(run));
      return !value.is_null() && operation.holds(value, wanted);
    };
  }

  const Operation& operation(const RunField& field) {
    const std::string symbol = take("=!<>~", true);
    Words choices;
    for (const Operation& operation : kOperations) {
      if (operation.of_patterns && field.kind == kNumber) continue;
      if (symbol == operation.symbol) return operation;
      choices.emplace_back(operation.symbol);
    }
    if (symbol == "=") refuse("= compares nothing; did you mean ==?");
    refuse(fmt::format("{} stands where a comparison of {}, a {}, should; one of {}", found(), field.name,
                       field.kind, joined(choices)));
  }

  // A backslash makes the text's own quote an ordinary character.
  std::string value(const RunField& field) {
    std::string word = take(kEndsAWord, false);
    const char quote = word.empty() && at_ < text_.size() ? text_[at_] : ' ';
    if (word.empty() && quote != '\'' && quote != '"') refuse_value(field, found());
    if (!word.empty()) return word;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == quote) ++at_;
      word += text_[at_];
    }
    if (at_ == text_.size()) refuse(fmt::format("the text has no closing {}", quote));
    ++at_;
    return word;
  }

  double finite_number(const RunField& field, const std::string& word) const {
    double number = 0;
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data() + (word.starts_with('+') ? 1 : 0), end, number);
    if (error != std::errc() || stop != end || !std::isfinite(number)) refuse_value(field, in_quotes(word));
    return number;
  }

  // Read as a pattern, a regular expression would not mean what its writer intends.
  std::string pattern(const std::string& word) const {
    if (word.find_first_of("^$|\\") != std::string::npos || word.find(".*") != std::string::npos)
      refuse(fmt::format(
          "{} looks like a regular expression, but a part of the text is taken, or a pattern for all of it "
          "with * ? [...]; else: --json | jq 'map(select(.id | test(\"REGEX\")))'",
          in_quotes(word)));
    return word.find_first_of("*?[") == std::string::npos ? "*" + word + "*" : word;
  }

  const std::string& text_;
  std::size_t begin_ = 0;  // where the last word taken begins
  std::size_t at_ = 0;
};

}  // namespace

std::span<const RunField> run_fields() {
  return kFields;
}

Words field_names() {
  Words names;
  for (const RunField& field : kFields) names.emplace_back(field.name);
  return names;
}

void sort_runs(std::vector<KnownRun>& runs, const std::string& key) {
  const bool descending = key.starts_with('-');
  const std::string name = key.substr(descending ? 1 : 0);
  const RunField* field = find_field(name);
  if (field == nullptr) throw UsageError("--sort: " + unknown_word("field", name, field_names()));
  std::ranges::stable_sort(runs, [&](const KnownRun& a, const KnownRun& b) {
    const ordered_json x = comparable(*field, field->value(a)), y = comparable(*field, field->value(b));
    if (x.is_null() || y.is_null()) return !x.is_null() && y.is_null();
    return descending ? y < x : x < y;
  });
}

void filter_runs(std::vector<KnownRun>& runs, const std::string& expression) {
  for (const RunCondition& condition : ConditionReader(expression).all())
    std::erase_if(runs, [&](const KnownRun& run) { return !condition(run); });
}

}  // namespace trainer
