// The record of a submitted run: one made here before the run begins, so that every failure has a place to be
// written down, and the run's own once it has come, both with a key `target` that says where it ran.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "trainer/remote/fetch.hpp"
#include "trainer/remote/target_files.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_record.hpp"

namespace trainer {

// Of a run that begins now; id is the run's and its container's name.
[[nodiscard]] RunRecord submitted_record(const Environment& environment, const NamedTarget& named,
                                         const std::string& id);

// A word of the record's `target`; empty where there is none.
[[nodiscard]] std::string target_word(const RunRecord& record, const std::string& key);

// The name of the container of the run in `folder`. Throws FileError where its record holds none that docker
// takes.
[[nodiscard]] std::string container_of(const std::filesystem::path& folder, const RunRecord& record);

// What came back takes its place in the run's folder: all files, and the run's own record with `begun`'s
// target. A record that its container did not close is closed as failed with `end`. `begun` without a
// target's files: closed as failed.
struct RunEnd {
  int exit_code = -1;
  std::string text;  // what was out of the ordinary; may be empty
};
void merge_fetched(const std::filesystem::path& folder, const RunRecord& started,
                   const std::optional<Fetched>& fetched, const RunEnd& end);

// `record` closed as failed and written into the run's folder.
void close_as_failed(const std::filesystem::path& folder, RunRecord record, const std::string& reason);

}  // namespace trainer
