#include "trainer/doctor/check.hpp"

#include <algorithm>

namespace trainer::doctor {

Check known_problem(const std::string& name, const std::string& finding, std::string_view key,
                    const std::string& cause) {
  const Failure failure = failure_of(known_failure(key));
  return {State::problem, name, finding, cause.empty() ? failure.cause : cause, failure.fix, failure.kind};
}

FailureClass class_of(const std::vector<Check>& checks) {
  const auto problem = std::ranges::find(checks, State::problem, &Check::state);
  return problem == checks.end() ? FailureClass::healthy : problem->kind;
}

}  // namespace trainer::doctor
