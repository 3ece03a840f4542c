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
  std::string result(text);
  if (text.find('\x1b') != std::string_view::npos) result = std::regex_replace(result, kSequence, "");
  for (char& letter : result) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  for (std::size_t at = 0; (at = result.find("\\n", at)) != std::string::npos;) result.replace(at, 2, " \n");
  return result;
}

// The letters, and one '#' for each run of digits ("libcudnnopsso#"), with the place of each in the plain text.
struct Letters {
  std::string whole;  // the plain text
  std::string text;
  std::vector<std::size_t> at;
};

Letters squeezed(std::string_view pasted) {
  Letters letters{plain(pasted), "", {}};
  for (std::size_t i = 0; i < letters.whole.size(); ++i) {
    const char letter = letters.whole[i];
    if (!is_letter(letter) && !is_digit(letter)) continue;
    if (is_digit(letter) && letters.text.ends_with('#')) continue;
    letters.text += is_digit(letter) ? '#' : letter;
    letters.at.push_back(i);
  }
  return letters;
}

constexpr std::string_view kGap = " ... ";

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t letters = 0;  // letters of the pattern
};

bool in_word(const std::string& text, std::size_t at) {
  return at < text.size() && (is_letter(text[at]) || is_digit(text[at]) || text[at] == '_');
}

std::ptrdiff_t line_breaks(const Letters& message, std::size_t from, std::size_t to) {
  const std::string_view between(&message.whole[message.at[from]], message.at[to] - message.at[from]);
  return std::ranges::count(between, '\n');
}

// Whether the letters from `begin` to `end` are whole words (the last may continue if `open`) without an empty line in
// between, and begin on the line where the letter before `after` ended.
bool is_place(const Letters& message, std::size_t begin, std::size_t end, bool open, std::size_t after) {
  std::size_t first = message.at[begin];
  while (first > 0 && message.whole[first - 1] == '_') --first;
  if (first > 0 && in_word(message.whole, first - 1)) return false;
  const std::size_t last = message.at[end - 1];
  if (!open && message.text[end - 1] != '#' && in_word(message.whole, last + 1)) return false;
  for (std::size_t i = begin + 1; i < end; ++i)
    if (line_breaks(message, i - 1, i) > 1) return false;
  return after == 0 || line_breaks(message, after - 1, begin) == 0;
}

// The first place from `from` on where the parts of `pattern` occur in sequence; those after a gap on the same line.
std::optional<Span> find_pattern(const Letters& message, std::string_view pattern, std::size_t from = 0,
                                 std::size_t after = 0) {
  const std::size_t gap = std::min(pattern.find(kGap), pattern.size());
  const std::string part = squeezed(pattern.substr(0, gap)).text;
  const bool open = pattern.substr(0, gap).ends_with('*');
  const std::string_view rest = pattern.substr(std::min(gap + kGap.size(), pattern.size()));
  if (part.empty()) return std::nullopt;
  for (std::size_t begin = from; (begin = message.text.find(part, begin)) != std::string::npos; ++begin) {
    const std::size_t end = begin + part.size();
    if (!is_place(message, begin, end, open, after)) continue;
    Span span{begin, end, part.size()};
    if (squeezed(rest).text.empty()) return span;
    if (const auto more = find_pattern(message, rest, end, end))
      return Span{begin, more->end, part.size() + more->letters};
  }
  return std::nullopt;
}

// Numbers that the text calls a CUDA code, "CUDA error 803", "cudaMalloc(p, 8) returned 2" or this program's own
// "CUDA 719, ", but not "CUDA 12.9"; those of an Xid, "NVRM: Xid (PCI:0000:c1:00): 79", count from kFirstXid.
std::map<int, Span> codes_in(const Letters& message) {
  static const std::regex kCode(
      R"(\bcu(?:da (?=\d{3}, )|(?:da|init|ctx|device)\w{0,40}(?:\([^()\n]{0,40}\))?[ _:=(#-]{0,4})"
      R"((?:(?:runtime|driver|api|call)[ _:]{1,2}){0,2})"
      R"((?:(?:error|err|failed|failure|returned|with|status|result|code)[ _:=(#-]{1,4}){1,4}))"
      R"((\d{1,4})(?![\da-z]|\.\d)|\b(?:nvrm: )?xid(?: \([0-9a-z:. -]{4,32}\))?[ :=#(]{1,4})"
      R"((?:(?:errors?|code|event)[ :=#]{1,3})?(\d{1,3})(?![\da-z]|\.\d))");
  std::map<int, Span> codes;
  const auto letter = [&](std::ptrdiff_t at) {
    const auto found = std::ranges::lower_bound(message.at, static_cast<std::size_t>(at));
    return static_cast<std::size_t>(found - message.at.begin());
  };
  for (std::sregex_iterator match(message.whole.begin(), message.whole.end(), kCode), end; match != end;
       ++match) {
    Span span{letter(match->position()), letter(match->position() + match->length()), 0};
    const bool xid = (*match)[2].matched;
    if (xid) span.letters = span.end - span.begin;
    codes.emplace(xid ? kFirstXid + std::stoi((*match)[2]) : std::stoi((*match)[1]), span);
  }
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
  Span span;          // its longest pattern; no letters: it was found by its code only
  bool ours = false;  // this program's own message: text that it quotes, such as the runtime's, tells less
  std::vector<Span> all = {};  // of every pattern and code
};

std::optional<Match> match(const KnownFailure& failure, const Letters& message,
                           const std::map<int, Span>& codes) {
  std::optional<Match> best;
  std::vector<Span> all;
  const auto keep_longest = [&](const std::optional<Span>& span, bool ours) {
    if (span) all.push_back(*span);
    if (span && (!best || span->letters > best->span.letters)) best = Match{failure, *span, ours};
  };
  for (const int code : failure.codes)
    if (const auto found = codes.find(code); found != codes.end()) keep_longest(found->second, false);
  for (const std::string_view pattern : failure.says) keep_longest(find_pattern(message, pattern), false);
  for (const Finding& finding : failure.found)
    keep_longest(find_pattern(message, pattern_of(finding.cause)), true);
  if (best) best->all = std::move(all);
  return best;
}

bool comes_first(const Match& a, const Match& b) {
  return a.ours != b.ours ? a.ours : a.span.letters > b.span.letters;
}

// A row whose match lies within a longer match of another row adds nothing.
bool is_part_of(const Span& span, const Match& other) {
  return std::ranges::any_of(other.all, [&](const Span& longer) {
    return span.letters > 0 && span.letters < longer.letters && span.begin >= longer.begin &&
           span.end <= longer.end;
  });
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
  const Letters message = squeezed(pasted);
  const std::map<int, Span> codes = codes_in(message);
  std::vector<Match> matches;
  for (const KnownFailure& failure : known_failures())
    if (std::optional<Match> found = match(failure, message, codes)) matches.push_back(*found);
  std::ranges::stable_sort(matches, comes_first);
  Explanation explanation;
  for (const Match& row : matches) {
    const bool covered =
        std::ranges::any_of(matches, [&](const Match& other) { return is_part_of(row.span, other); });
    if (!covered) explanation.found.push_back(row.failure);
  }
  if (explanation.found.empty()) explanation.nearest = nearest_rows(pasted);
  return explanation;
}

}  // namespace trainer
