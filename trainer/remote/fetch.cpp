// The stream is kept in a file until its digest is known; tar(1) takes it apart.
#include "trainer/remote/fetch.hpp"

#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <system_error>

#include "trainer/remote/container.hpp"
#include "trainer/remote/failure_text.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMostFileBytes = std::uint64_t{4} << 30;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void fail_writing(const fs::path& path) {
  throw FileError(fmt::format("cannot write {}: {}: the run is kept on its target", path.string(),
                              reason_and_next_step(errno)));
}

fs::path made_anew(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder, error);
  if (error) throw FileError(fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  return folder;
}

struct Transfer {
  ProcessOutput end;  // without its output, which is in the file
  std::string digest;
};

Transfer transfer(const Connection& connection, const std::string& id, const fs::path& tar) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(tar.c_str(), "wbe"));
  if (!file) fail_writing(tar);
  Transfer result;
  Sha256 digest;
  ProcessCall call;
  call.words = connection.words(docker::copy_run(id));
  call.own_group = true;
  call.out = [&](std::string_view piece) {
    digest.update(piece);
    if (std::fwrite(piece.data(), 1, piece.size(), file.get()) != piece.size()) fail_writing(tar);
  };
  call.err = [&](std::string_view piece) { result.end.err += piece; };
  result.end.code = run_process(call).code;
  if (std::fflush(file.get()) != 0) fail_writing(tar);
  result.digest = digest.hex();
  return result;
}

// As sha256sum prints it, computed where the container is.
std::string digest_at_target(const Connection& connection, const std::string& id) {
  const ProcessOutput output = capture_process(connection.piped_words(docker::copy_run(id), {"sha256sum"}));
  if (output.code != 0 || output.out.size() < 64)
    throw TargetError(connection.target(), explain_failure(connection.target(), output));
  return output.out.substr(0, 64);
}

void unpack(const fs::path& tar, const fs::path& folder) {
  const ProcessOutput output =
      capture_process({"tar", "--extract", "--file", tar.string(), "--directory", folder.string(),
                       "--strip-components=1", "--no-same-owner", "--no-same-permissions"});
  if (output.code != 0)
    throw FileError(
        fmt::format("cannot unpack {}: {}", tar.string(), output.err.substr(0, output.err.find('\n'))));
}

// A run's folder holds plain files; a link could lead out of it.
std::map<std::string, std::string> digests_of(const fs::path& folder) {
  std::map<std::string, std::string> digests;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_symlink() || !entry.is_regular_file())
      throw FileError(fmt::format("the run came with {}, which is not a plain file: nothing of it was taken",
                                  entry.path().filename().string()));
    digests[entry.path().filename().string()] = sha256_hex(read_file(entry.path(), kMostFileBytes));
  }
  return digests;
}

}  // namespace

std::optional<Fetched> fetch_run(const Connection& connection, const std::string& id,
                                 const fs::path& staging) {
  const fs::path files = made_anew(staging) / "files";
  fs::create_directory(files);
  const fs::path tar = staging / "stream.tar";
  const Transfer transferred = transfer(connection, id, tar);
  if (transferred.end.err.find("Could not find the file") != std::string::npos ||
      transferred.end.err.find("no such file or directory") != std::string::npos)
    return std::nullopt;
  if (transferred.end.code != 0)
    throw TargetError(connection.target(), explain_failure(connection.target(), transferred.end));
  const std::string expected = digest_at_target(connection, id);
  if (transferred.digest != expected)
    throw FileError(fmt::format(
        "the folder of run {} arrived with SHA-256 {}..., but has {}... on {}: it is kept "
        "there; fetch it again with: trainer runs attach {}",
        id, transferred.digest.substr(0, 12), expected.substr(0, 12), connection.target().name, id));
  unpack(tar, files);
  return Fetched{files, digests_of(files)};
}

}  // namespace trainer
