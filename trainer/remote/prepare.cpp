#include "trainer/remote/prepare.hpp"

#include <fmt/format.h>

#include "trainer/remote/container.hpp"
#include "trainer/remote/failure_text.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

// What a long command says goes straight to the screen; its errors are also kept, to be explained.
ProcessOutput shown(const std::vector<std::string>& words, const PrepareOptions& options) {
  ProcessOutput output;
  ProcessCall call;
  call.words = words;
  const auto show = [&](std::string_view text) {
    output.err += text;
    if (output.err.size() > 65536) output.err.erase(0, output.err.size() - 32768);
    fmt::print(stderr, "{}", text);
  };
  call.out = show;
  call.err = show;
  try {
    output.code = run_process(call).code;
  } catch (const ProcessError& error) {
    throw UsageError(fmt::format("{}: an image cannot be built here ({})", options.build, error.what()));
  }
  return output;
}

void build(const Target& target, const PrepareOptions& options) {
  options.say(fmt::format("building {} from {}", target.image, options.build));
  // docker build takes a folder that looks like a URL for one.
  const std::string folder = options.build.starts_with('/') ? options.build : "./" + options.build;
  const ProcessOutput output = shown({"docker", "build", "--tag", target.image, "--", folder}, options);
  if (output.code != 0) {
    Target here = target;
    here.type = TargetType::localdocker;
    throw TargetError(here, explain_failure(here, output));
  }
}

void send(const Connection& connection, const PrepareOptions& options) {
  const Target& target = connection.target();
  options.say(fmt::format("sending {} to {}", target.image, target.name));
  const PipeOutput ends =
      capture_pipe({"docker", "save", "--", target.image}, connection.words({"docker", "load", "--quiet"}));
  const ProcessOutput output{ends.to.code != 0 ? ends.to.code : ends.from.code, ends.to.out,
                             ends.from.err + ends.to.err};
  if (output.code != 0) throw TargetError(target, explain_failure(target, output));
}

// A registry that the target knows may have it.
void pull(const Connection& connection, const PrepareOptions& options) {
  const Target& target = connection.target();
  options.say(fmt::format("{} is not on this machine; asking a registry from {}", target.image, target.name));
  const ProcessOutput output = connection.capture({"docker", "pull", "--quiet", "--", target.image});
  if (output.code == 0) return;
  const Failure failure = explain_failure(target, output);
  throw TargetError(
      target, {.cause = fmt::format(
                   "the image {} is neither on this machine nor there, and no registry gives it ({})",
                   target.image, failure.cause),
               .fix = fmt::format("build it from this program's source: trainer prepare -c {} --build FOLDER",
                                  target.name)});
}

}  // namespace

std::string image_fingerprint(const Connection& connection) {
  const ProcessOutput output = connection.capture(docker::image_fingerprint(connection.target().image));
  if (output.code == 0) return output.out.substr(0, output.out.find('\n'));
  const Failure failure = explain_failure(connection.target(), output);
  if (failure.key == "docker-no-image") return "";
  throw TargetError(connection.target(), failure);
}

Prepared prepare_target(const Connection& connection, const PrepareOptions& options) {
  const Target& target = connection.target();
  if (!target.uses_docker())
    throw UsageError(fmt::format("{} runs this program itself; there is no image to prepare", target.name));
  if (!options.build.empty()) build(target, options);
  const std::string there = image_fingerprint(connection);
  if (!target.is_remote()) {
    if (there.empty()) pull(connection, options);
    return there.empty() || !options.build.empty() ? Prepared::changed : Prepared::up_to_date;
  }
  const ProcessOutput here = [&]() -> ProcessOutput {
    Target local = target;
    local.type = TargetType::localdocker;
    return Connection(local, {}).capture(docker::image_fingerprint(target.image));
  }();
  const bool has_own = here.code == 0;
  if (has_own && here.out.substr(0, here.out.find('\n')) == there) return Prepared::up_to_date;
  if (!has_own && !there.empty()) return Prepared::up_to_date;
  if (has_own)
    send(connection, options);
  else
    pull(connection, options);
  return Prepared::changed;
}

}  // namespace trainer
