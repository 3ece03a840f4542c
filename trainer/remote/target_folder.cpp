// The folder of the targets' files, and the two targets that need no files.
#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "models/yaml_reader.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

constexpr TargetFile kBoth[] = {TargetFile::compute, TargetFile::runconfig};

void read_if_there(const fs::path& file, TargetFile which, Target& target) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  const std::vector<std::byte> bytes = read_file(file, kMostSpecBytes);
  target.built_in = target.built_in && which != TargetFile::compute;
  read_target({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string(), which, target);
}

std::optional<TargetType> built_in_type(const std::string& name) {
  if (name == "local") return TargetType::local;
  if (name == "docker") return TargetType::localdocker;
  return std::nullopt;
}

void require_name(const std::string& name) {
  if (const std::string fault = fault_of_target_name(name); !fault.empty()) throw UsageError(fault);
}

}  // namespace

fs::path TargetFolder::file(const std::string& name, TargetFile which) const {
  return path_ / (name + (which == TargetFile::compute ? ".compute" : ".runconfig"));
}

Words TargetFolder::names() const {
  Words names;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().stem().string();
    if (entry->path().extension() == ".compute" && fault_of_target_name(name).empty() && !built_in_type(name))
      names.push_back(name);
  }
  std::ranges::sort(names);
  names.insert(names.begin(), {"local", "docker"});
  return names;
}

void TargetFolder::refuse_unknown(const std::string& name) const {
  throw UsageError(fmt::format("{}, or attach it: trainer target attach {} --address HOST --username USER",
                               unknown_word("target", name, names()), name));
}

Target TargetFolder::find(const std::string& name) const {
  require_name(name);
  Target target;
  target.name = name;
  if (const std::optional<TargetType> type = built_in_type(name)) {
    target.built_in = true;
    target.type = *type;
    if (target.uses_docker()) target.image = kDefaultImage;
  } else if (std::error_code ignored; !fs::exists(file(name, TargetFile::compute), ignored)) {
    refuse_unknown(name);
  }
  for (const TargetFile which : kBoth) read_if_there(file(name, which), which, target);
  return target;
}

void TargetFolder::attach(const Target& target) const {
  require_name(target.name);
  if (built_in_type(target.name).value_or(target.type) != target.type)
    throw UsageError(fmt::format("'{}' is this machine's own target; choose another name", target.name));
  std::error_code error;
  for (const TargetFile which : kBoth) {
    if (fs::exists(file(target.name, which), error))
      throw UsageError(fmt::format("{} is there already: edit it, or first: trainer target detach {}",
                                   file(target.name, which).string(), target.name));
  }
  fs::create_directories(path_, error);
  if (error)
    throw FileError(fmt::format("cannot make the folder {}: {}: go to a folder that you may write",
                                path_.string(), error.message()));
  for (const TargetFile which : kBoth)
    write_file_durably(file(target.name, which), target_text(target, which));
}

void TargetFolder::detach(const std::string& name) const {
  require_name(name);
  bool removed = false;
  for (const TargetFile which : kBoth) {
    std::error_code error;
    removed = fs::remove(file(name, which), error) || removed;
    if (error)
      throw FileError(fmt::format("cannot remove {}: {}: check its permissions", file(name, which).string(),
                                  error.message()));
  }
  if (removed) return;
  if (built_in_type(name)) throw UsageError(fmt::format("'{}' is built in and has no files to remove", name));
  refuse_unknown(name);
}

}  // namespace trainer
