// trainer models: the shipped networks, or the plan of one. trainer devices: the device report alone.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/plan.hpp"
#include "models/spec.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/device/device_report.hpp"

namespace trainer {

namespace {

struct ModelsArguments {
  std::string name;
  std::optional<int> batch;
  std::vector<int> image{28, 28, 1};
  int classes = 10;
  bool json = false;
};

PlanInput plan_input(const ModelsArguments& arguments, const Spec& spec) {
  return {{arguments.image[0], arguments.image[1], arguments.image[2]},
          arguments.classes,
          arguments.batch.value_or(spec.recipe.batch)};
}

int list_models(const ModelsArguments& arguments, const std::vector<Spec>& specs) {
  auto json = nlohmann::ordered_json::array();
  if (!arguments.json)
    fmt::print("{:<18} {:>10} {:>12} {:>7}  {}\n", "name", "parameters", "train MFLOP", "batch", "about");
  for (const Spec& spec : specs) {
    const Plan plan = make_plan(spec, plan_input(arguments, spec));
    if (arguments.json) {
      json.push_back({{"name", spec.name},
                      {"about", spec.about},
                      {"source", spec.source},
                      {"parameters", plan.parameters},
                      {"training_flops_per_image", plan.training_flops},
                      {"batch", spec.recipe.batch}});
    } else {
      fmt::print("{:<18} {:>10} {:>12.3f} {:>7}  {}\n", spec.name, plan.parameters,
                 static_cast<double>(plan.training_flops) / 1e6, spec.recipe.batch, spec.about);
    }
  }
  if (arguments.json) fmt::print("{}\n", json.dump(2));
  return 0;
}

int show_models(const Environment& environment, const ModelsArguments& arguments) {
  const std::filesystem::path folder = models_folder(environment);
  if (arguments.name.empty()) return list_models(arguments, all_specs(folder));
  const Spec spec = find_spec(arguments.name, folder);
  const Plan plan = make_plan(spec, plan_input(arguments, spec));
  if (arguments.json) {
    nlohmann::ordered_json json = plan_json(plan, spec);
    json["file"] = file_json(spec);
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}", plan_table(plan, spec));
  }
  return 0;
}

void declare_models(CLI::App& app, ModelsArguments& arguments) {
  app.add_option("NAME", arguments.name, "a shipped network or a YAML file [list them]");
  app.add_option("--batch", arguments.batch, "images of a step [the recipe's]")->check(CLI::Range(1, 65536));
  app.add_option("--image", arguments.image, "height, width and channels")
      ->expected(3)
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--classes", arguments.classes, "width of the last layer")
      ->check(CLI::Range(2, 256))
      ->capture_default_str();
  add_json(app, arguments.json);
}

int show_devices(const Environment& /*environment*/, const bool& json) {
  const DeviceChoice choice = choose_device({});
  DeviceInfo info = choice.backend->info();
  if (info.gpus.empty()) info.gpus = all_gpus();
  fmt::print("{}", json ? device_json(info, choice.gpu_reason).dump(2) + "\n"
                        : device_report(info, choice.gpu_reason));
  return 0;
}

void declare_devices(CLI::App& app, bool& json) {
  add_json(app, json);
}

}  // namespace

Command add_models(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "models", "list the shipped networks, or print the plan of one",
                     declare_models, show_models);
}

Command add_devices(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "devices", "say what this machine trains on, and why", declare_devices,
                     show_devices);
}

}  // namespace trainer
