// A profile as a table, as data, and as a trace.
#include <fmt/format.h>

#include "trainer/console/progress.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"
#include "trainer/train/profile.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr std::uint64_t kTracedSteps = 5;

double rate(std::uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

// "152.3  56 %"; of what the device can do, where that is known.
std::string rate_text(std::uint64_t amount, double seconds, const DeviceLimit& limit) {
  if (amount == 0) return "-";
  const double value = rate(amount, seconds);
  const std::string fraction =
      limit.per_second > 0 ? fmt::format("{:.0f} %", 100 * value / limit.per_second) : "n/a";
  return fmt::format("{:.1f} {:>6}", value / 1e9, fraction);
}

std::string row(const Profile& profile, const ProfiledPart& part) {
  return fmt::format("{:<10} {:<8} {:>9.3f} {:>6.1f} % {:>15} {:>15}  {}\n", part.name, part.direction,
                     part.seconds * 1e3, 100 * part.seconds / profile.parts_seconds(),
                     rate_text(part.flops, part.seconds, profile.arithmetic),
                     rate_text(part.bytes, part.seconds, profile.memory), part.text);
}

std::string limit_text(const DeviceLimit& limit, const char* unit) {
  return limit.per_second > 0 ? fmt::format("{:.0f} {} ({})", limit.per_second / 1e9, unit, limit.source)
                              : "n/a";
}

std::string full_name(const ProfiledPart& part) {
  return part.direction.empty() ? part.name : part.name + " " + part.direction;
}

ordered_json named(const char* kind, const std::string& name) {
  return {{"name", kind}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", name}}}};
}

}  // namespace

std::string profile_table(const Profile& profile) {
  std::string text =
      report_line("profile", fmt::format("{}, batch {}, {}, engine {}, median of {} {}", profile.model,
                                         profile.batch, profile.precision, profile.engine, profile.steps,
                                         profile.steps == 1 ? "step" : "steps"));
  text += fmt::format("{:<10} {:<8} {:>9} {:>8} {:>15} {:>15}\n", "op", "", "ms", "share", "GFLOP/s of peak",
                      "GB/s  of peak");
  for (const ProfiledPart& part : profile.parts) text += row(profile, part);
  text += fmt::format("{:<10} {:<8} {:>9.3f}          {:.3f} ms without the clock around each op\n", "step",
                      "", profile.parts_seconds() * 1e3, profile.step_seconds * 1e3);
  return text + report_line("peak", limit_text(profile.arithmetic, "GFLOP/s")) +
         report_line("", limit_text(profile.memory, "GB/s")) +
         report_line("", fmt::format("{} around each op; bytes as if without caches",
                                     profile.device_clock ? "the device's events" : "the host's clock")) +
         report_line(
             "", "FLOP as the plan counts them: an engine that leaves out products with 0 may pass the peak");
}

ordered_json profile_json(const Profile& profile) {
  ordered_json json{{"event", "profile"},
                    {"model", profile.model},
                    {"device", profile.device},
                    {"batch", profile.batch},
                    {"precision", profile.precision},
                    {"engine", profile.engine},
                    {"clock", profile.device_clock ? "device" : "host"},
                    {"steps", profile.steps},
                    {"step_seconds", profile.step_seconds},
                    {"peak_flops_per_second", profile.arithmetic.per_second},
                    {"peak_bytes_per_second", profile.memory.per_second},
                    {"parts", ordered_json::array()}};
  for (const ProfiledPart& part : profile.parts) {
    json["parts"].push_back({{"name", part.name},
                             {"direction", part.direction},
                             {"op", part.text},
                             {"seconds", part.seconds},
                             {"share", part.seconds / profile.parts_seconds()},
                             {"flops", part.flops},
                             {"bytes", part.bytes}});
  }
  return json;
}

ordered_json chrome_trace(const Profile& profile) {
  constexpr double kMicro = 1e6;
  ordered_json events = ordered_json::array();
  events.push_back(named("process_name", fmt::format("trainer {}, {}", kVersion, profile.device)));
  events.push_back(named("thread_name", fmt::format("{}, batch {}", profile.model, profile.batch)));
  for (const ProfiledEvent& event : profile.events) {
    if (event.step >= kTracedSteps) continue;
    const ProfiledPart& part = profile.parts[event.part];
    events.push_back({{"name", full_name(part)},
                      {"cat", part.direction.empty() ? part.name : part.direction},
                      {"ph", "X"},
                      {"ts", event.start * kMicro},
                      {"dur", event.seconds * kMicro},
                      {"pid", 1},
                      {"tid", 1},
                      {"args",
                       {{"op", part.text},
                        {"step", event.step + 1},
                        {"gflops", rate(part.flops, event.seconds) / 1e9},
                        {"gbytes_per_second", rate(part.bytes, event.seconds) / 1e9}}}});
  }
  return {{"traceEvents", events}, {"displayTimeUnit", "ms"}, {"otherData", profile_json(profile)}};
}

void write_profile(const std::string& file, const Setup& setup, Backend& backend, const ResidentData& data,
                   Console& console, const std::function<bool()>& stop_asked) {
  const Profile profile = profile_training(setup, backend, data, stop_asked);
  console.text(profile_table(profile));
  console.json(profile_json(profile));
  write_file_durably(file, to_text(chrome_trace(profile), 1) + "\n");
  console.line(fmt::format("{:<14}{} (for chrome://tracing or ui.perfetto.dev)", "trace", file));
}

}  // namespace trainer
