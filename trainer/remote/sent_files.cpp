// The files travel as one tar stream that is the same for the same contents: its digest names the folder,
// tells whether the folder is there already, and proves on arrival that nothing is missing.
#include "trainer/remote/sent_files.hpp"

#include <fmt/format.h>

#include "data/idx.hpp"
#include "data/image.hpp"
#include "models/spec.hpp"
#include "trainer/remote/failure_text.hpp"
#include "trainer/remote/training_words.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

using Strings = std::vector<std::string>;

// Prints the folder of the digest $1, or nothing where it is not there.
constexpr const char* kWhereScript = R"sh(
folder=${XDG_CACHE_HOME:-$HOME/.cache}/mnist-trainer/sent/$1
if [ -d "$folder" ]; then cd "$folder" && pwd -P; fi
)sh";

// Takes the stream of the digest $1 in: unpacked beside, then renamed, so that the folder is whole or absent.
constexpr const char* kReceiveScript = R"sh(
set -e
umask 022
store=${XDG_CACHE_HOME:-$HOME/.cache}/mnist-trainer/sent
mkdir -p "$store"
part=$(mktemp -d "$store/.arriving-XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$part/files"
cat >"$part/stream"
[ "$(sha256sum <"$part/stream")" = "$1  -" ] || exit 9
tar -x -o -f "$part/stream" -C "$part/files"
[ -d "$store/$1" ] || mv "$part/files" "$store/$1"
)sh";
constexpr int kOtherDigest = 9;

Strings script_words(const char* script, const std::string& digest) {
  return {"/bin/sh", "-c", script, "sh", digest};
}

// Owner, times and order of the files do not count; links are followed.
Strings tar_words(const SentFiles& files) {
  Strings words{
      "tar",       "--create",  "--file=-",   "--format=gnu",    "--dereference", "--sort=name",
      "--owner=0", "--group=0", "--mtime=@0", "--mode=a=rX,u+w", "--directory",   files.folder.string(),
      "--"};
  words.insert(words.end(), files.names.begin(), files.names.end());
  return words;
}

fs::path whole_path(const std::string& word, const fs::path& working_folder) {
  fs::path path = (working_folder / word).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// As find_spec tells files from the names of shipped networks.
void add_model(const std::string& word, const fs::path& working_folder, std::vector<SentFiles>& files) {
  std::error_code ignored;
  const fs::path path = whole_path(word, working_folder);
  const bool is_path = word.find('/') != std::string::npos || word.ends_with(".yaml");
  if (!is_path || !fs::exists(path, ignored)) return;
  (void)read_spec(path);
  const std::string name = path.filename().string();
  files.push_back({"--model", path, path.parent_path(), {name}, "/sent/model", "/sent/model/" + name});
}

Strings idx_names(const fs::path& path) {
  const data::IdxFiles idx = data::find_idx_files(path);
  Strings names;
  for (const fs::path& file : {idx.train_images, idx.train_labels, idx.test_images, idx.test_labels})
    names.push_back(file.filename().string());
  return names;
}

Strings picture_folders(const fs::path& path) {
  Strings names;
  std::error_code ignored;
  for (const char* name : {"train", "test"})
    if (fs::is_directory(path / name, ignored)) names.emplace_back(name);
  return names;
}

void add_data(const std::string& word, const fs::path& working_folder, std::vector<SentFiles>& files) {
  std::error_code ignored;
  const fs::path path = whole_path(word, working_folder);
  const bool idx = data::holds_idx(path);
  if (!idx && !fs::exists(path, ignored)) return;
  if (!idx && !data::holds_pictures(path))
    throw data::DataError(fmt::format(
        "{}: no data set here; looked for IDX files and for folders of pictures (train/LABEL/*.png, "
        "test/LABEL/*.png)",
        path.string()));
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = is_folder ? path : path.parent_path();
  const fs::path inside = fs::path("/sent/data") / folder.filename();
  files.push_back({"--data", path, folder, idx ? idx_names(path) : picture_folders(path), inside,
                   (is_folder ? inside : inside / path.filename()).string()});
}

struct Digest {
  std::string hex;
  std::uint64_t bytes = 0;
};

Digest digest_of(const SentFiles& files) {
  Digest digest;
  Sha256 sum;
  std::string said;
  ProcessCall call;
  call.words = tar_words(files);
  call.out = [&](std::string_view piece) {
    sum.update(piece);
    digest.bytes += piece.size();
  };
  call.err = [&](std::string_view piece) { said += piece; };
  if (run_process(call).code != 0)
    throw FileError(
        fmt::format("cannot read {} to send it: {}", files.given.string(), said.substr(0, said.find('\n'))));
  digest.hex = sum.hex();
  return digest;
}

// Empty: it is not there.
std::string folder_at_target(const Connection& connection, const std::string& digest) {
  const ProcessOutput output = connection.capture(script_words(kWhereScript, digest));
  if (output.code != 0) throw TargetError(connection.target(), explain_failure(connection.target(), output));
  return output.out.substr(0, output.out.find('\n'));
}

void send(const Connection& connection, const SentFiles& files, const Digest& digest) {
  const Target& target = connection.target();
  fmt::print(stderr, "{:<14}{} ({:.1f} MiB) to {}\n", "sending", files.given.string(),
             static_cast<double>(digest.bytes) / (1 << 20), target.name);
  ProcessOutput output;
  const PipeEnds ends = run_pipe(tar_words(files), connection.words(script_words(kReceiveScript, digest.hex)),
                                 [&](std::string_view text) { output.err += text; });
  if (ends.to.code == kOtherDigest)
    throw FileError(fmt::format(
        "{} arrived on {} otherwise than it was: it has changed meanwhile, or the line was cut: submit again",
        files.given.string(), target.name));
  output.code = ends.to.code;
  if (output.code != 0) throw TargetError(target, explain_failure(target, output));
}

std::string folder_with(const Connection& connection, const SentFiles& files) {
  const Digest digest = digest_of(files);
  std::string folder = folder_at_target(connection, digest.hex);
  if (!folder.empty()) return folder;
  send(connection, files, digest);
  folder = folder_at_target(connection, digest.hex);
  if (!folder.empty()) return folder;
  throw TargetError(connection.target(), {.cause = fmt::format("{} did not arrive", files.given.string())});
}

}  // namespace

std::vector<SentFiles> files_of_training(const Strings& arguments, const fs::path& working_folder) {
  std::vector<SentFiles> files;
  if (arguments.empty() || arguments[0] != "train") return files;
  if (const auto model = option_value(arguments, "--model")) add_model(*model, working_folder, files);
  const auto data = option_value(arguments, "--data");  // empty: the target's own
  if (data && !data->empty()) add_data(*data, working_folder, files);
  return files;
}

Strings arguments_inside(Strings arguments, const std::vector<SentFiles>& files) {
  for (const SentFiles& each : files) replace_option(arguments, each.option, each.word);
  return arguments;
}

std::vector<Mount> bring_files(const Connection& connection, const std::vector<SentFiles>& files) {
  std::vector<Mount> mounts;
  for (const SentFiles& each : files) {
    if (connection.target().is_remote()) {
      mounts.push_back({folder_with(connection, each), each.inside.string()});
      continue;
    }
    for (const std::string& name : each.names)
      mounts.push_back({(each.folder / name).string(), (each.inside / name).string()});
  }
  return mounts;
}

}  // namespace trainer
