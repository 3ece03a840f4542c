// trainer devices: the device report alone.
#include <cstdio>
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/device/device_report.hpp"

namespace trainer {

Command add_devices(CLI::App& app, const Environment& /*environment*/) {
  CLI::App* devices = app.add_subcommand("devices", "say what this machine trains on, and why");
  const auto json = std::make_shared<bool>(false);
  add_json(*devices, *json);
  return {devices, [json] {
            const DeviceChoice choice = choose_device({});
            DeviceInfo info = choice.backend->info();
            if (info.gpus.empty()) info.gpus = all_gpus();
            fmt::print("{}", *json ? device_json(info, choice.gpu_reason).dump(2) + "\n"
                                   : device_report(info, choice.gpu_reason));
            require_output();
            return 0;
          }};
}

}  // namespace trainer
