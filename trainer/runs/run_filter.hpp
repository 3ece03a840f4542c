// The expressions of `trainer runs list --where`.
//   any        = all { "||" all }
//   all        = one { "&&" one }
//   one        = "!" one | "(" any ")" | comparison
//   comparison = FIELD ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) ( NUMBER | "TEXT" )
//              | FIELD ( "=~" | "!~" ) "PATTERN"
// FIELD is one of run_fields.hpp. Texts stand in double or single quotes and are compared byte by byte, which
// orders dates of one time zone; patterns are those of run_pattern.hpp. A comparison with a value that a run
// does not have is false, whichever it is; so !(loss < 1) takes runs without a loss and loss >= 1 does not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/runs/run_fields.hpp"
#include "trainer/runs/run_pattern.hpp"

namespace trainer {

class RunFilter {
 public:
  // Throws UsageError with the column, what stands there, and what could.
  [[nodiscard]] static RunFilter parse(const std::string& expression);

  [[nodiscard]] bool matches(const KnownRun& run) const;

 private:
  friend class RunFilterParser;

  enum class Operation { equal, unequal, less, at_most, greater, at_least, like, unlike };

  struct Comparison {
    const RunField* field = nullptr;
    Operation operation = Operation::equal;
    RunValue value;                     // of all but patterns
    std::optional<RunPattern> pattern;  // of those
  };
  struct Node {
    enum class Kind { comparison, negation, all, any };
    Kind kind = Kind::comparison;
    std::vector<Node> parts;
    Comparison comparison;
  };

  static bool holds(const Comparison& comparison, const KnownRun& run);
  static bool holds(const Node& node, const KnownRun& run);

  Node root_;
};

}  // namespace trainer
