// Finds the rows for a message. Messages are compared by their letters only: what a terminal adds (colours, line breaks
// in the middle of a word), what a program quotes or escapes, and every number are removed from both sides.
#include "kernels/gpu_host/known_failures.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <regex>
#include <set>

namespace trainer {

namespace {

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

// The letters, and one '#' for each run of digits ("libcudnnopsso#"), with the place and line of each in the plain text.
struct Letters {
  std::string whole;  // the plain text
  std::string text;
  std::vector<std::size_t> at;
  std::vector<std::size_t> line;
};

Letters squeezed(std::string_view pasted) {
  Letters letters{plain(pasted), "", {}, {}};
  std::size_t line = 0;
  for (std::size_t i = 0; i < letters.whole.size(); ++i) {
    const char letter = letters.whole[i];
    if (letter == '\n') ++line;
    if (!is_letter(letter) && !is_digit(letter)) continue;
    if (is_digit(letter) && letters.text.ends_with('#')) continue;
    letters.text += is_digit(letter) ? '#' : letter;
    letters.at.push_back(i);
    letters.line.push_back(line);
  }
  return letters;
}

constexpr std::string_view kGap = " ... ";

struct Part {
  std::string text;  // letters
  bool open;         // its last word may continue
};

// What a pattern has between its gaps; parts without letters at its end are left out.
std::vector<Part> parts_of(std::string_view pattern) {
  std::vector<Part> parts;
  for (std::size_t gap = 0; gap != std::string_view::npos;) {
    gap = pattern.find(kGap);
    const std::string_view part = pattern.substr(0, gap);
    parts.push_back({squeezed(part).text, part.ends_with('*')});
    if (gap != std::string_view::npos) pattern.remove_prefix(gap + kGap.size());
  }
  while (!parts.empty() && parts.back().text.empty()) parts.pop_back();
  return parts;
}

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t letters = 0;  // letters of the pattern
};

bool in_word(const std::string& text, std::size_t at) {
  return at < text.size() && (is_letter(text[at]) || is_digit(text[at]) || text[at] == '_');
}

// Whether the letters from `begin` to `end` are whole words (the last may continue if `open`) without an empty line in
// between.
bool is_place(const Letters& message, std::size_t begin, std::size_t end, bool open) {
  std::size_t first = message.at[begin];
  while (first > 0 && message.whole[first - 1] == '_') --first;
  if (first > 0 && in_word(message.whole, first - 1)) return false;
  const std::size_t last = message.at[end - 1];
  if (!open && message.text[end - 1] != '#' && in_word(message.whole, last + 1)) return false;
  for (std::size_t i = begin + 1; i < end; ++i)
    if (message.line[i] > message.line[i - 1] + 1) return false;
  return true;
}

// The first letter after the line of the letter at `at`.
std::size_t end_of_line(const Letters& message, std::size_t at) {
  const auto from = message.line.begin() + static_cast<std::ptrdiff_t>(at);
  const auto next = std::upper_bound(from, message.line.end(), message.line[at]);
  return static_cast<std::size_t>(next - message.line.begin());
}

// The first place from `from` on where `parts` occur in sequence, the first before `bound` and each other one on the
// line where the one before it ends. A line is searched once: what does not follow the first of its places follows no
// later one.
std::optional<Span> find_parts(const Letters& message, std::span<const Part> parts, std::size_t from,
                               std::size_t bound) {
  if (parts.empty() || parts.front().text.empty()) return std::nullopt;
  const std::string& part = parts.front().text;
  const char* const text = message.text.data();
  const std::size_t last = std::min(bound + part.size() - 1, message.text.size());
  for (std::size_t begin = from; begin < last; ++begin) {
    const void* const found = memmem(text + begin, last - begin, part.data(), part.size());
    if (found == nullptr) break;
    begin = static_cast<std::size_t>(static_cast<const char*>(found) - text);
    const std::size_t end = begin + part.size();
    if (!is_place(message, begin, end, parts.front().open)) continue;
    if (parts.size() == 1) return Span{begin, end, part.size()};
    const std::size_t line_end = end_of_line(message, end - 1);
    if (const auto more = find_parts(message, parts.subspan(1), end, line_end))
      return Span{begin, more->end, part.size() + more->letters};
    begin = line_end - part.size();
  }
  return std::nullopt;
}

std::optional<Span> find_pattern(const Letters& message, std::string_view pattern) {
  return find_parts(message, parts_of(pattern), 0, message.text.size());
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
  return std::ranges::count_if(own, [&](const std::string& word) { return words.contains(word); });
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
