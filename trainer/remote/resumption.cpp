#include "trainer/remote/resumption.hpp"

#include <fmt/format.h>

#include "trainer/remote/container.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;

std::string ResumeLine::operator()(std::string_view piece) {
  static const std::string kGoOn = fmt::format("{:<14}trainer train --resume ", "go on with");
  std::string text;
  for (const char c : piece) {
    if (passes_) {
      text += c;
      passes_ = c != '\n';
      continue;
    }
    held_ += c;
    if (held_.starts_with(kGoOn) ? c != '\n' : kGoOn.starts_with(held_)) continue;
    text += held_.starts_with(kGoOn) ? fmt::format("{}{}\n", kGoOn, folder_) : held_;
    passes_ = c != '\n';
    held_.clear();
  }
  return text;
}

// The container's user is not known here, and docker cp keeps the modes but no owner.
void put_run(const Connection& connection, const std::string& id, const fs::path& folder) {
  const std::string name = folder.filename().string();
  std::vector<std::string> tar{"tar",          "--create",       "--file=-",  "--format=gnu",
                               "--owner=0",    "--group=0",      "--mode=a+rwX", "--no-recursion",
                               "--directory", folder.parent_path().string(), "--", name};
  for (const std::string_view file : {kRunRecordName, kMetricsName, kCheckpointName, kModelName})
    if (std::error_code ignored; fs::exists(folder / file, ignored))
      tar.push_back(fmt::format("{}/{}", name, file));
  auto [sent, put] = capture_pipe(
      tar, connection.words({"docker", "cp", "--", "-", fmt::format("{}:{}", id, kContainerRuns)}));
  put = connection.answer(std::move(put));
  if (sent.code != 0) throw FileError(fmt::format("cannot read {} to send it: {}", folder.string(), first_line(sent.err)));
  if (put.code != 0) connection.fail(put);
}

}  // namespace trainer
