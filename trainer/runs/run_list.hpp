// The runs folder as a list: the runs that can be read, and what else lies there, which never keeps the
// others from being listed.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct UnreadableRun {
  std::string name;
  std::string reason;
};

struct RunList {
  std::vector<KnownRun> runs;  // the one started last comes first
  std::vector<UnreadableRun> unreadable;
};

// The folders in `folder`, hidden ones left out; none where it does not exist. Throws FileError where it
// cannot be read.
[[nodiscard]] RunList list_runs(const std::filesystem::path& folder);

// "note: 2 folders in runs are not listed: a (...), b (...)", one line without its end; "" for none.
[[nodiscard]] std::string unreadable_note(const RunList& list, const std::filesystem::path& folder);

[[nodiscard]] std::string runs_table(const std::vector<KnownRun>& runs);
// Every field of run_fields.hpp; what a run does not have is null, or empty.
[[nodiscard]] nlohmann::ordered_json runs_json(const std::vector<KnownRun>& runs);
[[nodiscard]] std::string runs_csv(
    const std::vector<KnownRun>& runs);  // quoted as in RFC 4180, names in the first line

// "Xeon Platinum 8488C" of "CPU: Intel(R) Xeon(R) Platinum 8488C, 2 threads": what tells devices apart.
[[nodiscard]] std::string short_device(std::string name);

}  // namespace trainer
