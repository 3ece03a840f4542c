// The folder of targets.
#include "trainer/remote/target_files.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "models/yaml_reader.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& file) {
  const std::vector<std::byte> bytes = read_file(file, kMostSpecBytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<NamedTarget> built_in_targets() {
  NamedTarget local;
  local.target.name = local.config.target = "local";
  local.target.type = TargetType::local;
  NamedTarget docker;
  docker.target.name = docker.config.target = "docker";
  docker.target.type = TargetType::localdocker;
  docker.target.image = kDefaultImage;
  local.built_in = docker.built_in = true;
  return {local, docker};
}

void require_name(const std::string& name) {
  if (const std::string fault = fault_of_target_name(name); !fault.empty()) throw UsageError(fault);
}

}  // namespace

fs::path TargetFolder::compute_file(const std::string& name) const {
  return path_ / (name + ".compute");
}

fs::path TargetFolder::runconfig_file(const std::string& name) const {
  return path_ / (name + ".runconfig");
}

std::vector<std::string> TargetFolder::names_of_files() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().stem().string();
    if (entry->path().extension() == ".compute" && fault_of_target_name(name).empty()) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

void TargetFolder::refuse_unknown(const std::string& name) const {
  Words known{"local", "docker"};
  for (const std::string& file : names_of_files())
    if (std::ranges::find(known, file) == known.end()) known.push_back(file);
  throw UsageError(fmt::format("{}, or attach it: trainer target attach {} --address HOST --username USER",
                               unknown_word("target", name, known), name));
}

NamedTarget TargetFolder::find(const std::string& name) const {
  require_name(name);
  NamedTarget found;
  const fs::path compute = compute_file(name);
  const fs::path runconfig = runconfig_file(name);
  std::error_code ignored;
  if (fs::exists(compute, ignored)) {
    found.target = parse_compute(text_of(compute), compute.string(), name);
  } else {
    const std::vector<NamedTarget> built_in = built_in_targets();
    const auto match =
        std::ranges::find_if(built_in, [&](const auto& one) { return one.target.name == name; });
    if (match == built_in.end()) refuse_unknown(name);
    found = *match;
  }
  found.config.target = name;
  if (fs::exists(runconfig, ignored))
    found.config = parse_runconfig(text_of(runconfig), runconfig.string(), name);
  return found;
}

std::vector<NamedTarget> TargetFolder::all() const {
  std::vector<NamedTarget> targets{find("local"), find("docker")};
  for (const std::string& name : names_of_files())
    if (name != "local" && name != "docker") targets.push_back(find(name));
  return targets;
}

void TargetFolder::attach(const Target& target) const {
  require_name(target.name);
  const bool local = target.name == "local" && target.type != TargetType::local;
  const bool docker = target.name == "docker" && target.type != TargetType::localdocker;
  if (local || docker)
    throw UsageError(fmt::format("'{}' is this machine's own target; choose another name", target.name));
  std::error_code error;
  for (const fs::path& file : {compute_file(target.name), runconfig_file(target.name)}) {
    if (fs::exists(file, error))
      throw UsageError(fmt::format("{} is there already: edit it, or first: trainer target detach {}",
                                   file.string(), target.name));
  }
  fs::create_directories(path_, error);
  if (error)
    throw FileError(fmt::format("cannot make the folder {}: {}: go to a folder that you may write",
                                path_.string(), error.message()));
  RunConfig config;
  config.target = target.name;
  write_file_durably(compute_file(target.name), compute_text(target));
  write_file_durably(runconfig_file(target.name), runconfig_text(config));
}

void TargetFolder::detach(const std::string& name) const {
  require_name(name);
  bool removed = false;
  for (const fs::path& file : {compute_file(name), runconfig_file(name)}) {
    std::error_code error;
    removed = fs::remove(file, error) || removed;
    if (error)
      throw FileError(
          fmt::format("cannot remove {}: {}: check its permissions", file.string(), error.message()));
  }
  if (removed) return;
  if (name == "local" || name == "docker")
    throw UsageError(fmt::format("'{}' is built in and has no files to remove", name));
  refuse_unknown(name);
}

}  // namespace trainer
