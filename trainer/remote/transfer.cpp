// The files that go to a target, and those that come back.
#include <algorithm>
#include <fmt/format.h>

#include "data/idx.hpp"
#include "data/image.hpp"
#include "models/spec.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/remote/receive.sh.hpp"
#include "trainer/remote/sent_folder.sh.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

namespace {

// The ends of receive.sh.
constexpr int kCannotUnpack = 7, kEmpty = 8, kOtherDigest = 9;

Words receive_words(const std::string& digest, const fs::path& folder = {}, std::string_view mark = "") {
  return {"/bin/sh", "-c", kReceiveScript, "sh", digest, folder.string(), std::string(mark)};
}

// The stream does not depend on owner, times and order of the files; links are followed.
Words tar_words(const SentFiles& files) {
  Words words{
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

// Files are told from the names of shipped networks as find_spec does.
void add_model(const std::string& word, const fs::path& working_folder, std::vector<SentFiles>& files) {
  std::error_code ignored;
  const fs::path path = whole_path(word, working_folder);
  const bool is_path = word.find('/') != std::string::npos || word.ends_with(".yaml");
  if (!is_path || !fs::exists(path, ignored)) return;
  (void)read_spec(path);
  const std::string name = path.filename().string();
  files.push_back({"--model", path, path.parent_path(), {name}, "/sent/model", "/sent/model/" + name});
}

// The files of an IDX data set, or the folders of a data set of pictures, as seen from `folder`.
Words data_names(const fs::path& path, const fs::path& folder) {
  Words names;
  if (data::holds_idx(path)) {
    const data::IdxFiles idx = data::find_idx_files(path);
    for (const fs::path& file : {idx.train_images, idx.train_labels, idx.test_images, idx.test_labels})
      names.push_back(file.lexically_relative(folder).string());
    return names;
  }
  const data::PictureFolders folders = data::find_picture_folders(path);
  if (!folders.any())
    throw data::DataError(fmt::format(
        "{}: no data set here; looked for IDX files and for folders of pictures (train/LABEL/*.png, "
        "test/LABEL/*.png)",
        path.string()));
  for (const fs::path& split : {folders.train, folders.test, folders.validation})
    if (!split.empty()) names.push_back(split.filename().string());
  return names;
}

// The path of an IDX data set may be the beginning of its files' names, "data/a" for data/a-train-images...
void add_data(const std::string& word, const fs::path& working_folder, std::vector<SentFiles>& files) {
  std::error_code ignored;
  const fs::path path = whole_path(word, working_folder);
  if (!data::holds_idx(path) && !fs::exists(path, ignored)) return;
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = is_folder ? path : path.parent_path();
  const fs::path inside = fs::path("/sent/data") / folder.filename();
  files.push_back({"--data", path, folder, data_names(path, folder), inside,
                   (is_folder ? inside : inside / path.filename()).string()});
}

struct Digest {
  std::string hex;
  std::uint64_t bytes = 0;
};

Digest digest_of(const SentFiles& files) {
  Sha256 sum;
  std::uint64_t bytes = 0;
  std::string said;
  const auto take = [&](std::string_view piece) {
    sum.update(piece);
    bytes += piece.size();
  };
  const auto keep = [&](std::string_view piece) { said += piece; };
  if (run_process({.words = tar_words(files), .out = take, .err = keep}).code != 0)
    throw FileError(fmt::format("cannot read {} to send it: {}", files.given.string(), first_line(said)));
  return {sum.hex(), bytes};
}

// Returns the folder on the other machine that holds `files`, after sending them if necessary.
std::string folder_with(const Connection& connection, const SentFiles& files) {
  const Target& target = connection.target();
  const Digest digest = digest_of(files);
  std::string there =
      first_line(connection.require({"/bin/sh", "-c", kSentFolderScript, "sh", digest.hex}).out);
  if (!there.empty()) return there;
  notice(fmt::format("{:<14}{} ({:.1f} MiB) to {}", "sending", files.given.string(),
                     static_cast<double>(digest.bytes) / (1 << 20), target.name));
  const ProcessOutput to = connection.feed(tar_words(files), receive_words(digest.hex)).to;
  if (to.code == kEmpty || to.code == kOtherDigest)
    throw FileError(fmt::format(
        "{} arrived on {} otherwise than it was: it has changed meanwhile, or the line was cut: submit again",
        files.given.string(), target.name));
  if (to.code != 0) connection.fail(to);
  return first_line(to.out);
}

// Computed where the container is; 64 hexadecimal digits.
std::string digest_at_target(const Connection& connection, const std::string& id) {
  const ProcessOutput output =
      connection.answer(capture_process(connection.piped_words(copy_words(id), {"sha256sum"})));
  if (output.code != 0 || output.out.size() < 64) connection.fail(output);
  return output.out.substr(0, 64);
}

// A run's folder holds plain files only; a link could lead out of it.
std::map<std::string, std::string> digests_of(const fs::path& folder) {
  constexpr std::uint64_t kMostFileBytes = std::uint64_t{4} << 30;
  std::map<std::string, std::string> digests;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_symlink() || !entry.is_regular_file())
      throw FileError(
          fmt::format("the run came with {}, which is not a plain file: nothing of it was taken", name));
    digests[name] = sha256_hex(read_file(entry.path(), kMostFileBytes));
  }
  return digests;
}

// Where the value of an option stands in the arguments.
struct OptionPlace {
  std::size_t word;
  std::size_t begin;  // after "--name="
};

std::optional<OptionPlace> find_option(const Words& arguments, const std::string& name) {
  std::optional<OptionPlace> place;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with(name + "=")) place = {i, name.size() + 1};
    if (arguments[i] == name && i + 1 < arguments.size()) place = {i + 1, 0};
  }
  return place;
}

}  // namespace

bool has_option(const Words& arguments, const std::string& name) {
  return std::ranges::any_of(
      arguments, [&](const std::string& word) { return word == name || word.starts_with(name + "="); });
}

Words without_option(Words arguments, const std::string& name) {
  const auto is_it = [&](const std::string& word) { return has_option({word}, name); };
  for (auto word = arguments.begin(); (word = std::find_if(word, arguments.end(), is_it)) != arguments.end();)
    word = arguments.erase(word, *word == name ? std::min(word + 2, arguments.end()) : word + 1);
  return arguments;
}

std::optional<std::string> option_value(const Words& arguments, const std::string& name) {
  const std::optional<OptionPlace> place = find_option(arguments, name);
  if (!place) return std::nullopt;
  return arguments[place->word].substr(place->begin);
}

std::vector<SentFiles> files_of_training(const Words& arguments, const fs::path& working_folder) {
  std::vector<SentFiles> files;
  if (arguments.empty() || arguments[0] != "train") return files;
  if (const auto model = option_value(arguments, "--model")) add_model(*model, working_folder, files);
  const auto data = option_value(arguments, "--data");  // empty: the data of the target
  if (data && !data->empty()) add_data(*data, working_folder, files);
  return files;
}

Words arguments_inside(Words arguments, const std::vector<SentFiles>& files) {
  for (const SentFiles& each : files)
    if (const std::optional<OptionPlace> place = find_option(arguments, each.option))
      arguments[place->word].replace(place->begin, std::string::npos, each.word);
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

std::optional<Fetched> fetch_run(const Connection& connection, const std::string& id,
                                 const fs::path& staging) {
  std::error_code ignored;
  fs::remove_all(staging, ignored);
  const std::string expected = digest_at_target(connection, id);
  auto [from, to] = capture_pipe(
      connection.words(copy_words(id)),
      receive_words(expected, fs::absolute(staging) / "files", connection.is_marked() ? kAnswerMark : ""),
      true);
  from = connection.answer(std::move(from));
  if (names_absent_file(from)) return std::nullopt;
  if (to.code != 0 && to.code != kEmpty && to.code != kOtherDigest)
    throw FileError(
        fmt::format("cannot {} {}: {}: the run is kept on its target; free space if there is none, then: "
                    "trainer runs attach {}",
                    to.code == kCannotUnpack ? "unpack the run in" : "write", staging.string(),
                    to.err.empty() ? fmt::format("/bin/sh ended with {}", to.code) : first_line(to.err), id));
  if (from.code != 0) connection.fail(from);
  if (to.code == kEmpty)
    throw FileError(
        fmt::format("{} sent nothing of the folder of run {}: it is kept there; fetch it again with: trainer "
                    "runs attach {}",
                    connection.target().name, id, id));
  if (to.code == kOtherDigest)
    throw FileError(
        fmt::format("the folder of run {} arrived with SHA-256 {}..., but has {}... on {}: it is kept "
                    "there; fetch it again with: trainer runs attach {}",
                    id, to.out.substr(0, 12), expected.substr(0, 12), connection.target().name, id));
  const fs::path folder = staging / "files" / id;
  if (!fs::is_directory(fs::symlink_status(folder)))
    throw FileError(fmt::format("the run came with {}, which is not a folder: nothing of it was taken", id));
  return Fetched{folder, digests_of(folder)};
}

// The container's user is not known here, and docker cp keeps the modes but no owner.
ProcessOutput put_run(const Connection& connection, const std::string& id, const fs::path& folder) {
  const std::string name = folder.filename().string();
  Words tar{"tar",          "--create",
            "--file=-",     "--format=gnu",
            "--owner=0",    "--group=0",
            "--mode=a+rwX", "--no-recursion",
            "--directory",  folder.parent_path().string(),
            "--",           name};
  Words files = event_files(folder);
  for (const std::string_view file : {kRunRecordName, kMetricsName, kCheckpointName, kModelName})
    if (std::error_code ignored; fs::exists(folder / file, ignored)) files.emplace_back(file);
  for (const std::string& file : files) tar.push_back(fmt::format("{}/{}", name, file));
  const auto [sent, put] =
      connection.feed(tar, {"docker", "cp", "--", "-", fmt::format("{}:{}", id, kContainerRuns)});
  return {put.code != 0 ? put.code : sent.code, put.out, sent.err + put.err};
}

}  // namespace trainer
