// Finds rows by their keys, and fills words into their texts.
#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {

namespace {

std::string word_for(std::string_view name, const FailureWords& words) {
  static const FailureWords kAlways{
      {"gpus_flag", "'docker run --gpus all' (Podman and CDI: --device nvidia.com/gpu=all)"},
      {"ssh", "ssh USER@HOST"},
      {"there", ""}};
  for (const FailureWords* known : {&words, &kAlways})
    if (const auto found = known->find(name); found != known->end()) return found->second;
  std::string capitals(name);
  for (char& letter : capitals) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return capitals;
}

}  // namespace

int exit_status(FailureClass kind) {
  return kind > FailureClass::wrong_results ? 1 : static_cast<int>(kind);
}

std::string_view meaning(FailureClass kind) {
  if (kind == FailureClass::healthy) return "healthy";
  const std::span<const ClassMeaning> all = class_meanings();
  const auto found = std::ranges::find(all, kind, &ClassMeaning::kind);
  return found == all.end()
             ? "the command failed, or a training of a proof did, or a GPU is slower than its equals"
             : found->meaning;
}

const KnownFailure& known_failure(std::string_view key) {
  const std::span<const KnownFailure> rows = known_failures();
  const auto found = std::ranges::find(rows, key, &KnownFailure::key);
  if (found == rows.end()) throw std::logic_error("no known failure is called " + std::string(key));
  return *found;
}

std::string filled_in(std::string_view text, const FailureWords& words) {
  std::string result;
  for (std::size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{')) {
    const std::size_t close = text.find('}', open);
    if (close == std::string_view::npos) break;
    result += text.substr(0, open);
    result += word_for(text.substr(open + 1, close - open - 1), words);
    text.remove_prefix(close + 1);
  }
  return result.append(text);
}

Failure failure_of(const KnownFailure& row, const FailureWords& words) {
  return {row.key, row.kind, filled_in(row.cause, words), filled_in(row.fix, words)};
}

Failure found_failure(std::string_view key, std::string_view when, const FailureWords& words) {
  const KnownFailure& row = known_failure(key);
  const auto found = std::ranges::find(row.found, when, &Finding::when);
  if (found == row.found.end())
    throw std::logic_error(std::string(key) + " is not found " + std::string(when));
  return {key, row.kind, filled_in(found->cause, words),
          filled_in(found->fix.empty() ? row.fix : found->fix, words)};
}

}  // namespace trainer
