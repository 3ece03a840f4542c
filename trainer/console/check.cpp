#include "trainer/console/check.hpp"

#include <algorithm>
#include <fmt/ranges.h>
#include <map>

namespace trainer {

std::string_view word(CheckState state) {
  constexpr std::string_view kWords[] = {"ok", "note", "problem", "unknown", "not run"};
  return kWords[static_cast<std::size_t>(state)];
}

FailureClass class_of(const std::vector<Check>& checks) {
  const auto problem = std::ranges::find(checks, CheckState::problem, &Check::state);
  return problem == checks.end() ? FailureClass::healthy : problem->kind;
}

std::string check_text(const std::vector<Check>& checks) {
  std::size_t width = 13;
  std::map<std::string, std::vector<std::string>> left_out;  // the names by the reason
  for (const Check& check : checks) {
    if (check.state == CheckState::not_run)
      left_out[check.finding].push_back(check.name);
    else
      width = std::max(width, check.name.size());
  }
  std::string text;
  const auto add = [&](std::string_view state, std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format("{:<8} {:<{}} {}\n", state, name, width, value);
  };
  for (const Check& check : checks) {
    if (check.state == CheckState::not_run) continue;
    add(word(check.state), check.name, check.finding);
    add("", "cause", check.cause);
    add("", "fix", check.fix);
  }
  for (const auto& [why, names] : left_out)
    text += fmt::format("{:<8} {}: {}\n", word(CheckState::not_run), fmt::join(names, ", "), why);
  return text;
}

}  // namespace trainer
