#include "tests/emulator/environment.hpp"

#include <charconv>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

int number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw std::invalid_argument(fmt::format("TRAINER_EMULATOR_FAIL: '{}' is not a number", text));
  }
  return value;
}

void plant(State& state, std::string_view faults) {
  for (const std::string_view fault : split(faults, ',')) {
    const auto parts = split(fault, ':');
    if (parts.size() != 3) {
      throw std::invalid_argument(fmt::format("TRAINER_EMULATOR_FAIL: '{}' is not name:nth:code", fault));
    }
    state.faults.emplace(std::string(parts[0]),
                         Fault{number(parts[1]), static_cast<cudaError_t>(number(parts[2]))});
  }
}

void choose_devices(State& state, std::string_view name) {
  if (name == "k80") state.machine.devices = {tesla_k80()};
  if (name == "h200") state.machine.devices[0].multiprocessors = 132;
  if (name == "t4") state.machine.devices = {tesla_t4()};
  if (name == "none") state.machine.device_error = cudaErrorNoDevice;
  if (name == "two") {
    Device second;
    second.pci_bus_id = "0000:0B:00.0";
    second.uuid = "emulated device1";
    second.peers = {0};
    state.machine.devices.push_back(second);
    state.machine.devices[0].peers = {1};
  }
}

void write_report() {
  std::ofstream file{std::string(variable("TRAINER_EMULATOR_REPORT"))};
  file << counts_text() << leak_report();
}

}  // namespace

void read_environment(State& state) {
  plant(state, variable("TRAINER_EMULATOR_FAIL"));
  state.holds_work = variable("TRAINER_EMULATOR_HOLD") == "1";
  choose_devices(state, variable("TRAINER_EMULATOR_DEVICE"));
  // As in the real runtime, an empty value hides every device.
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') state.machine.device_error = cudaErrorNoDevice;
  static const bool reports = !variable("TRAINER_EMULATOR_REPORT").empty() && std::atexit(&write_report) == 0;
  (void)reports;
}

}  // namespace emulator
