// The conditions of `trainer runs list --where`: FIELD OP VALUE, joined by &&. FIELD is one of run_fields.hpp; OP is one of
// == != < <= > >= and, for texts, =~ and !~. A value stands in single or double quotes, or bare where it is one word.
//   Texts are compared byte by byte, which orders dates of one time zone.
//   =~ finds its value anywhere in the text; with * ? or [ it is a pattern of fnmatch(3) for the whole text. Capitals and
//   small letters are alike.
// A condition on a value that a run does not have is false, whichever it is.
#pragma once

#include <string>
#include <vector>

#include "trainer/runs/run_fields.hpp"

namespace trainer {

struct RunCondition {
  const RunField* field = nullptr;
  bool (*holds)(const RunValue& value, const RunValue& wanted) = nullptr;
  RunValue wanted;  // of =~ and !~ the pattern, as fnmatch takes it
};

// Throws UsageError with the column, what stands there, and what could.
[[nodiscard]] std::vector<RunCondition> run_conditions(const std::string& expression);

[[nodiscard]] bool meets(const KnownRun& run, const RunCondition& condition);

}  // namespace trainer
