// A recursive descent over the words; how deep it goes is limited.
#include "trainer/runs/run_filter.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "trainer/runs/filter_words.hpp"

namespace trainer {

class RunFilterParser {
 public:
  explicit RunFilterParser(const std::string& expression) : words_(filter_words(expression)) {}

  RunFilter parse() {
    RunFilter filter;
    filter.root_ = any(0);
    if (is_symbol(")")) refuse("this ) closes nothing");
    if (word().kind != FilterWord::Kind::end) refuse(found() + " stands where && or || should");
    return filter;
  }

 private:
  using Node = RunFilter::Node;
  using Operation = RunFilter::Operation;
  using Kind = FilterWord::Kind;

  static constexpr int kDeepest = 50;

  const FilterWord& word() const { return words_[at_]; }
  void advance() { at_ += at_ + 1 < words_.size() ? 1 : 0; }
  bool is_symbol(const char* text) const { return word().kind == Kind::symbol && word().text == text; }

  [[noreturn]] void refuse(const std::string& reason) const { refuse_filter(word().column, reason); }
  std::string found() const {
    return word().kind == Kind::end ? "the end of the expression" : in_quotes(word().text);
  }

  Node any(int depth) {
    if (depth > kDeepest) refuse(fmt::format("more than {} parentheses and ! in each other", kDeepest));
    return chain(Node::Kind::any, "||", [&] { return all(depth); });
  }

  Node all(int depth) {
    return chain(Node::Kind::all, "&&", [&] { return one(depth); });
  }

  // Parts with a symbol between them; one alone stands for itself.
  Node chain(Node::Kind kind, const char* symbol, const auto& part) {
    Node first = part();
    if (!is_symbol(symbol)) return first;
    Node node;
    node.kind = kind;
    node.parts.push_back(std::move(first));
    while (is_symbol(symbol)) {
      advance();
      node.parts.push_back(part());
    }
    return node;
  }

  Node one(int depth) {
    if (depth > kDeepest) refuse(fmt::format("more than {} parentheses and ! in each other", kDeepest));
    if (is_symbol("!")) {
      advance();
      Node node;
      node.kind = Node::Kind::negation;
      node.parts.push_back(one(depth + 1));
      return node;
    }
    if (!is_symbol("(")) return comparison();
    const std::size_t opened = word().column;
    advance();
    Node inner = any(depth + 1);
    if (!is_symbol(")"))
      refuse(fmt::format("{} stands where the ) for the ( of column {} should", found(), opened));
    advance();
    return inner;
  }

  Node comparison() {
    Node node;
    RunFilter::Comparison& comparison = node.comparison;
    comparison.field = &field();
    comparison.operation = operation(*comparison.field);
    if (comparison.operation == Operation::like || comparison.operation == Operation::unlike) {
      comparison.pattern = pattern();
    } else {
      comparison.value = value(*comparison.field);
    }
    return node;
  }

  const RunField& field() {
    if (word().kind != Kind::name)
      refuse(fmt::format("{} stands where a field should; one of {}", found(), joined(field_names())));
    const RunField* known = find_field(word().text);
    if (known == nullptr) refuse(unknown_word("field", word().text, field_names()));
    advance();
    return *known;
  }

  Operation operation(const RunField& field) {
    static constexpr std::array<std::pair<const char*, Operation>, 8> kOperations{
        {{"==", Operation::equal},
         {"!=", Operation::unequal},
         {"<", Operation::less},
         {"<=", Operation::at_most},
         {">", Operation::greater},
         {">=", Operation::at_least},
         {"=~", Operation::like},
         {"!~", Operation::unlike}}};
    Words choices;
    for (const auto& [symbol, operation] : kOperations) {
      const bool of_patterns = operation == Operation::like || operation == Operation::unlike;
      if (of_patterns && field.kind == FieldKind::number) continue;
      choices.emplace_back(symbol);
      if (!is_symbol(symbol)) continue;
      advance();
      return operation;
    }
    if (is_symbol("=")) refuse("= compares nothing; did you mean ==?");
    const std::string of = fmt::format("{}, a {}", field.name, kind_word(field));
    refuse(
        fmt::format("{} stands where a comparison of {}, should; one of {}", found(), of, joined(choices)));
  }

  static const char* kind_word(const RunField& field) {
    return field.kind == FieldKind::number ? "number" : "text";
  }

  RunValue value(const RunField& field) {
    const bool number = field.kind == FieldKind::number;
    if (word().kind != (number ? Kind::number : Kind::text)) {
      const bool bare = !number && (word().kind == Kind::name || word().kind == Kind::number);
      refuse(fmt::format("{} is a {}, but {} stands here{}", field.name, kind_word(field), found(),
                         bare ? fmt::format("; write \"{}\", in quotes", word().text) : ""));
    }
    RunValue value = number ? RunValue(word().number) : RunValue(word().text);
    advance();
    return value;
  }

  RunPattern pattern() {
    if (word().kind != Kind::text) refuse(found() + " stands where a pattern in quotes should");
    try {
      RunPattern pattern(word().text);
      advance();
      return pattern;
    } catch (const PatternError& error) {
      refuse(fmt::format("the pattern {}: {}", in_quotes(word().text), error.what()));
    }
  }

  std::vector<FilterWord> words_;
  std::size_t at_ = 0;
};

RunFilter RunFilter::parse(const std::string& expression) {
  return RunFilterParser(expression).parse();
}

bool RunFilter::matches(const KnownRun& run) const {
  return holds(root_, run);
}

bool RunFilter::holds(const Node& node, const KnownRun& run) {
  const auto part_holds = [&run](const Node& part) { return holds(part, run); };
  switch (node.kind) {
    case Node::Kind::comparison:
      return holds(node.comparison, run);
    case Node::Kind::negation:
      return !holds(node.parts.front(), run);
    case Node::Kind::all:
      return std::ranges::all_of(node.parts, part_holds);
    case Node::Kind::any:
      return std::ranges::any_of(node.parts, part_holds);
  }
  return false;
}

bool RunFilter::holds(const Comparison& comparison, const KnownRun& run) {
  const RunValue value = comparison.field->value(run);
  if (std::holds_alternative<std::monostate>(value)) return false;
  switch (comparison.operation) {
    case Operation::equal:
      return value == comparison.value;
    case Operation::unequal:
      return value != comparison.value;
    case Operation::less:
      return value < comparison.value;
    case Operation::at_most:
      return value <= comparison.value;
    case Operation::greater:
      return value > comparison.value;
    case Operation::at_least:
      return value >= comparison.value;
    case Operation::like:
      return comparison.pattern->is_in(std::get<std::string>(value));
    case Operation::unlike:
      return !comparison.pattern->is_in(std::get<std::string>(value));
  }
  return false;
}

}  // namespace trainer
