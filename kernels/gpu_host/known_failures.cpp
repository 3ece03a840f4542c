// Finds rows by their keys or for a message, and fills words into their texts. Messages are compared by their letters
// only: what a terminal adds (colours, line breaks in the middle of a word), what a program quotes or escapes, and
// every number are removed from both sides.
#include "kernels/gpu_host/known_failures.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>

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

bool is_digit(char letter) {
  return std::isdigit(static_cast<unsigned char>(letter)) != 0;
}

bool is_letter(char letter) {
  return std::isalpha(static_cast<unsigned char>(letter)) != 0;
}

// Converts to lower case, without terminal escape sequences: "ESC [ ... letter", "ESC ] ... BEL", or ESC and one
// character. The bounds keep a hostile text from overflowing the stack.
std::string plain(std::string_view text) {
  static const std::regex kSequence("\x1b(\\[[^@-~]{0,64}[@-~]?|\\][^\a\x1b]{0,256}[\a\x1b]?|[^\\[\\]])?");
  std::string result = std::regex_replace(std::string(text), kSequence, "");
  for (char& letter : result) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return result;
}

// Keeps the letters, and one '#' for each run of digits: "libcudnnopsso#".
std::string squeezed(std::string_view text) {
  std::string result;
  for (const char letter : plain(text)) {
    if (is_letter(letter)) result += letter;
    if (is_digit(letter) && (result.empty() || result.back() != '#')) result += '#';
  }
  return result;
}

constexpr std::string_view kGap = " ... ";

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t letters = 0;  // letters of the pattern
};

// The first place where the parts of `pattern` occur in sequence.
std::optional<Span> find_pattern(const std::string& message, std::string_view pattern) {
  Span span;
  std::size_t at = 0;
  for (bool first = true; !pattern.empty(); first = false) {
    const std::size_t gap = std::min(pattern.find(kGap), pattern.size());
    const std::string part = squeezed(pattern.substr(0, gap));
    pattern.remove_prefix(std::min(gap + kGap.size(), pattern.size()));
    const std::size_t found = message.find(part, at);
    if (found == std::string::npos) return std::nullopt;
    if (first) span.begin = found;
    at = span.end = found + part.size();
    span.letters += part.size();
  }
  return span;
}

// Numbers that the text calls a CUDA code: "CUDA error 803", "CUDA runtime error (35)", but not "CUDA 12.9".
std::set<int> codes_in(std::string_view pasted) {
  static const std::regex kCode(R"(cuda[a-z _:=(#]{0,28}(\d{1,4})(?![\da-z]|\.\d))");
  const std::string text = plain(pasted);
  std::set<int> codes;
  for (std::sregex_iterator match(text.begin(), text.end(), kCode), end; match != end; ++match)
    codes.insert(std::stoi((*match)[1]));
  return codes;
}

// "{libcuda} is a stub ({name})" as a pattern: "is a stub ( ... )".
std::string pattern_of(std::string_view found) {
  std::string pattern;
  for (std::size_t open = found.find('{'); open != std::string_view::npos; open = found.find('{')) {
    if (open > 0) pattern.append(found.substr(0, open)).append(kGap);
    found.remove_prefix(found.find('}') + 1);
  }
  return pattern.append(found);
}

struct Match {
  KnownFailure failure;
  Span span;          // its longest pattern; empty: it was found by its code only
  bool ours = false;  // this program's own message: text that it quotes, such as the runtime's, tells less
};

std::optional<Match> match(const KnownFailure& failure, const std::string& message,
                           const std::set<int>& codes) {
  std::optional<Match> best;
  const auto keep_longest = [&](const std::optional<Span>& span, bool ours) {
    if (span && (!best || span->letters > best->span.letters)) best = Match{failure, *span, ours};
  };
  if (std::ranges::any_of(failure.codes, [&](int code) { return codes.contains(code); }))
    best = Match{failure, {}};
  for (const std::string_view pattern : failure.says) keep_longest(find_pattern(message, pattern), false);
  for (const Finding& finding : failure.found)
    keep_longest(find_pattern(message, pattern_of(finding.cause)), true);
  return best;
}

bool comes_first(const Match& a, const Match& b) {
  return a.ours != b.ours ? a.ours : a.span.letters > b.span.letters;
}

// A row whose match lies within another row's longer match adds nothing.
bool is_part_of(const Span& span, const Span& other) {
  return span.letters > 0 && span.letters < other.letters && span.begin >= other.begin &&
         span.end <= other.end;
}

std::set<std::string> words_of(std::string_view text) {
  constexpr std::size_t kShortest = 4;
  std::set<std::string> words;
  std::string word;
  for (const char letter : plain(text) + " ") {
    if (is_letter(letter)) {
      word += letter;
    } else {
      if (word.size() >= kShortest) words.insert(word);
      word.clear();
    }
  }
  return words;
}

// How many of the message's words a row has in its patterns and cause.
std::size_t likeness(const KnownFailure& failure, const std::set<std::string>& words) {
  std::string all(failure.cause);
  for (const std::string_view pattern : failure.says) all.append(" ").append(pattern);
  const std::set<std::string> own = words_of(all);
  return std::ranges::count_if(words, [&](const std::string& word) { return own.contains(word); });
}

std::vector<KnownFailure> nearest_rows(std::string_view pasted) {
  constexpr std::size_t kMost = 3;
  const std::set<std::string> words = words_of(pasted);
  std::vector<std::pair<std::size_t, KnownFailure>> rows;
  for (const KnownFailure& failure : known_failures())
    if (const std::size_t common = likeness(failure, words); common > 0) rows.emplace_back(common, failure);
  std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<KnownFailure> nearest;
  for (std::size_t i = 0; i < std::min(kMost, rows.size()); ++i) nearest.push_back(rows[i].second);
  return nearest;
}

}  // namespace

int exit_status(FailureClass kind) {
  return kind > FailureClass::files ? 1 : static_cast<int>(kind);
}

std::string_view meaning(FailureClass kind) {
  if (kind == FailureClass::healthy) return "healthy";
  const std::span<const ClassMeaning> all = class_meanings();
  const auto found = std::ranges::find(all, kind, &ClassMeaning::kind);
  return found == all.end() ? "the command failed, or a device stands out among equal ones" : found->meaning;
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

Explanation explain(std::string_view pasted) {
  const std::string message = squeezed(pasted);
  const std::set<int> codes = codes_in(pasted);
  std::vector<Match> matches;
  for (const KnownFailure& failure : known_failures())
    if (std::optional<Match> found = match(failure, message, codes)) matches.push_back(*found);
  std::ranges::stable_sort(matches, comes_first);
  Explanation explanation;
  for (const Match& row : matches) {
    const bool covered =
        std::ranges::any_of(matches, [&](const Match& other) { return is_part_of(row.span, other.span); });
    if (!covered) explanation.found.push_back(row.failure);
  }
  if (explanation.found.empty()) explanation.nearest = nearest_rows(pasted);
  return explanation;
}

}  // namespace trainer
