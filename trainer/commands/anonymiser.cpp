// Texts without the names of people and machines, for a bug report.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <fstream>
#include <map>
#include <pwd.h>
#include <regex>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"

namespace trainer {

namespace {

// Names that identify nobody.
constexpr const char* kNobody = "root|localhost|git|nobody|null|true|false|none|unknown|[^a-z\x80-\xff]*|.";
// Words of reports and messages: who is called like one, or by three letters, is replaced only where a name stands.
constexpr const char* kOrdinary =
    ".{0,3}|accuracy|address|admin|arch|batch|build|cache|centos|check|code|command|config|connection|"
    "container|cores?|cuda|data|debian|default|devices?|digits|disk|docker|driver|epochs?|error|fedora|"
    "files?|from|gateway|home|host(name)?|images?|info|intel|kernel|library|limit|linux|local|login|lookup|"
    "loss|machine|main|memory|mnist|models?|names?|network|nodes?|nvidia|path|podman|process(or)?|program|"
    "proxy|python|quick|registry|resolution|rocky|runs|seed|server|slurm|speed|sprint|steps?|system|target|"
    "test|threads?|time|train(er|ing)?|ubuntu|user(name)?s?|version|warning|with|work(er)?";
// Hosts that the program's advice names, and other hosts: by their domain, or before a port or path.
constexpr const char* kPublic =
    R"((.*\.)?(nvidia\.com|github\.com|docker\.(com|io)|ghcr\.io|quay\.io|nvcr\.io|pytorch\.org|containerd\.io))";
constexpr const char* kHost =
    R"([\w-].*\.((com|net|org|edu|gov|mil|io|dev|ai|cloud|local|lan|corp|internal|intranet)(\W[^]?)?|[\w-]+\.[a-z]{2,24}(/[^]?|:\d)))";
// What ends before an id, a user's name and a host's.
constexpr const char* kBeforeId = R"(serial(.?(number|no))?["\\]*\s*[:=]["\\\s]*$)";
constexpr const char* kBeforeUser =
    R"re([/\\](home\d*|users)(/|\\{1,2})$|(^|[^\w~])~$|(user(name)?|owner|logname|login)["\\]* *[:=] *["'\\]*$)re";
constexpr const char* kBeforeHost =
    R"re(\w@$|://$|(host(name)?|nodename|fqdn|address)(["\\]+: *["\\]+| *= *["'\\]*)$|hostname(:? +)$)re";
// Before four numbers that are no address.
constexpr const char* kLibraryVersion = R"(\b(cublas|cudnn|version)\w{0,9}\W{1,9}$)";
// A UUID or a machine's number, a hardware address, and what may be an IPv6 or IPv4 address.
constexpr const char* kForms =
    R"((?:((?:GPU-|MIG-)?[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|GPU-[\da-f-]{4,40}|[\da-f]{32})|)"
    R"(([\da-f]{2}(?:[:-][\da-f]{2}){5}|[\da-f]{4}(?:\.[\da-f]{4}){2})|)"
    R"([\da-f]{1,4}(?::[\da-f]{0,4}){1,7}:(?:[\da-f]{1,4}(?:\.\d{1,3}){0,3}|:)|\d{1,9}(?:\.\d{1,9}){3,9})(?!\w|":))";

const std::regex& compiled(const char* pattern) {
  static std::map<const char*, std::regex> known;
  const auto found = known.find(pattern);
  if (found != known.end()) return found->second;
  return known[pattern] =
             std::regex(pattern, std::regex::ECMAScript | std::regex::icase | std::regex::optimize);
}

// std::regex recurses into what it matches: that has to be short.
bool is(const std::string& name, const char* pattern) {
  return name.size() < 256 && std::regex_match(name, compiled(pattern));
}

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
}

bool is_in_word(char c) {
  return is_letter(c) || c == '_' || c == '.' || c == '-';
}

bool may_be_form(std::string_view text) {
  text = text.substr(0, text.find_first_not_of("0123456789abcdefABCDEFgGpPuUmMiI-:."));
  const auto is_mark = [](char c) { return c == '-' || c == ':' || c == '.'; };
  return text.size() >= 32 || std::ranges::count_if(text, is_mark) >= 2 || text.starts_with("GPU-");
}

// The kind of a match of kForms; "" for a number that only looks like an address.
std::string kind_of(const std::smatch& match) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  const std::string text = match.str();
  if (match[1].matched) return "id";
  if (match[2].matched) return "mac";
  if (inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1) return "ipv6";
  return inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 ? "ipv4" : "";
}

// Whether kind_by_place, which takes time, can find a kind.
bool may_be_name(std::string_view before, std::string_view name, char next) {
  const std::size_t mark = before.find_last_not_of(' ');
  if (next == '@' ||
      (mark != std::string::npos && std::string_view("/\\~@:=\"'").find(before[mark]) != std::string::npos))
    return true;
  const bool has_domain =
      name.find('.') != std::string::npos && std::isalpha(static_cast<unsigned char>(name.back())) != 0;
  return has_domain || (mark != std::string::npos && lower(before.substr(0, mark + 1)).ends_with("hostname"));
}

// The kind of a name by what stands beside it: /home/NAME, USER@HOST, ssh://HOST, "host": "NAME" ...; "" for another word.
std::string kind_by_place(const std::string& before, const std::string& name, const std::string& after) {
  const auto follows = [&](const char* pattern) { return std::regex_search(before, compiled(pattern)); };
  if (after == "\":" || name.size() > 255) return "";  // a JSON key
  if (is(name, R"(\w{6,40})") && follows(kBeforeId)) return "id";
  if (is(name, kNobody) || is(name, kPublic)) return "";
  if (is(after, R"(@\w)") || (follows(kBeforeUser) && !(before.ends_with('~') && is(name, R"(\d.*)"))))
    return "user";
  if (follows(kBeforeHost)) return before.ends_with(' ') && is(name, kOrdinary) ? "" : "host";
  return !before.ends_with('/') && is(name + after, kHost) ? "host" : "";
}

// Stand-ins for what identifies people and machines: "user-1", "host-1", "ipv4-1", "ipv6-1", "mac-1", and "id-1" for a UUID or a
// serial number. The same name always has the same one.
class Anonymiser {
 public:
  // A name of this user or machine (`is_own`) is replaced wherever it stands, and so is a host's that a text reveals.
  std::string learn(const std::string& kind, const std::string& name, bool is_own) {
    const std::string label = kind == "host" ? name.substr(0, name.find('.')) : name;
    if (kind != "id" && is(name, kNobody)) return name;
    const auto known = everywhere_.find(lower(label));
    std::string own = known != everywhere_.end() ? known->second : stand_in(kind, name);
    const bool is_typical = is_own || label == name || is(label, R"(.*[\d-].*)");
    for (const std::string& word : {name, label})
      if ((is_own || kind != "user") && (word == name || is_typical) && !is(word, kOrdinary))
        longest_ = std::max(longest_, everywhere_.try_emplace(lower(word), own).first->first.size());
    return own;
  }

  // The home as a whole path becomes /home/NAME.
  void learn_home(const fs::path& home) {
    learn("user", home.filename(), true);
    if (home.has_filename() && home.parent_path() != "/" && home != "/root") homes_.push_back(home);
  }

  // Text may reveal names only after their first place: read all before the result counts.
  std::string replaced(const std::string& text) {
    std::string out;
    std::array<std::size_t, 3> begins{};  // of this word, the one before, and the one before that
    for (std::size_t place = 0, end = 0; place < text.size();) {
      const auto letter = std::find_if(text.begin() + place, text.end(), is_letter);
      out.append(text.begin() + place, letter);
      place = letter - text.begin();
      if (place == text.size()) break;
      if (place >= end) {  // a word is of letters, digits, '_', '.' and '-'
        begins = {place, begins[0], begins[1]};
        for (end = place; end < text.size() && is_in_word(text[end]);) ++end;
        while (!is_letter(text[end - 1])) --end;
      }
      const std::size_t first = std::max(begins[2], place - std::min<std::size_t>(place, 48));
      const auto [stop, stand_in] =
          name_at(text, std::string_view(text).substr(first, place - first), place, end);
      out += stand_in;
      place = stop;
    }
    return out;
  }

 private:
  // The end of the name or of the part of a word, up to `end`, that begins at `place`, and what stands for it.
  std::pair<std::size_t, std::string> name_at(const std::string& text, std::string_view before,
                                              std::size_t place, std::size_t end) {
    std::smatch form;
    if (may_be_form(std::string_view(text).substr(place, 64)) &&
        std::regex_search(text.begin() + place, text.begin() + std::min(text.size(), place + 120), form,
                          compiled(kForms), std::regex_constants::match_continuous)) {
      const std::string kind =
          std::regex_search(std::string(before), compiled(kLibraryVersion)) ? "" : kind_of(form);
      return {place + form.length(), kind.empty() ? form.str() : stand_in(kind, form.str())};
    }
    const auto part = [&](std::size_t stop) { return text.substr(place, stop - place); };
    const std::string_view name = std::string_view(text).substr(place, end - place);
    if ((place == 0 || !is_in_word(text[place - 1])) && may_be_name(before, name, text[end])) {
      const std::string kind = kind_by_place(std::string(before), part(end), text.substr(end, 2));
      if (!kind.empty()) return {end, learn(kind, part(end), false)};
    }
    for (const fs::path& home : homes_) {  // becomes /home/NAME; its first '/' is written already
      const std::size_t begin = place - 1, stop = begin + home.native().size();
      if (place > 0 && text.compare(begin, stop - begin, home.native()) == 0 && !is_in_word(text[stop]) &&
          (begin == 0 || !is_in_word(text[begin - 1])))
        return {stop, "home/" + learn("user", home.filename(), true)};
    }
    for (std::size_t stop = std::min(end, place + longest_); stop > place; --stop) {
      if (!is_letter(text[stop - 1]) || (stop < text.size() && is_letter(text[stop]))) continue;
      const auto known = everywhere_.find(lower(part(stop)));
      if (known == everywhere_.end() || text.compare(stop, 2, "\":") == 0) continue;  // a JSON key
      const bool has_domain = known->second.starts_with("host") && stop < end && text[stop] == '.';
      return {has_domain ? end : stop, known->second};
    }
    const std::size_t stop =
        std::find_if_not(text.begin() + place, text.begin() + end, is_letter) - text.begin();
    return {stop, part(stop)};
  }

  std::string stand_in(const std::string& kind, const std::string& name) {
    const auto [place, is_first] = known_.try_emplace(lower(name));
    if (is_first) place->second = fmt::format("{}-{}", kind, ++counts_[kind]);
    return place->second;
  }

  std::map<std::string, std::string> known_, everywhere_;  // by the name in lower case
  std::map<std::string, int> counts_;                      // stand-ins of each kind
  std::vector<fs::path> homes_;
  std::size_t longest_ = 0;  // name in everywhere_
};

}  // namespace

void anonymise(std::vector<BundledFile>& files, const fs::path& run) {
  Anonymiser names;
  struct stat owner {};
  if (stat(run.c_str(), &owner) != 0) owner.st_uid = getuid();
  for (const uid_t id : {getuid(), owner.st_uid})
    if (const passwd* user = getpwuid(id)) {
      names.learn("user", user->pw_name, true);
      names.learn_home(user->pw_dir);
    }
  for (const char* variable : {"USER", "LOGNAME", "SUDO_USER"})
    if (const char* name = std::getenv(variable)) names.learn("user", name, true);
  if (const char* home = std::getenv("HOME")) names.learn_home(home);
  utsname machine{};
  uname(&machine);
  std::string host;
  std::ifstream("/etc/hostname") >> host;
  for (const std::string& name : {std::string(machine.nodename), host}) names.learn("host", name, true);
  for (const BundledFile& file : files) (void)names.replaced(file.contents);
  for (BundledFile& file : files) file = {names.replaced(file.path.string()), names.replaced(file.contents)};
}

}  // namespace trainer
