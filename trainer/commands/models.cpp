// What can be trained, on what: trainer models lists the shipped networks, or prints the plan of one; trainer data show makes a
// picture of a data set's images, or of what a recipe makes of them; trainer devices prints the device report alone.
#include <fmt/ranges.h>

#include "models/plan.hpp"
#include "models/recipe.hpp"
#include "models/spec.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/device/device_report.hpp"
#include "trainer/report/data.html.hpp"
#include "trainer/report/report_page.hpp"

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
  auto json = ordered_json::array();
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
  return arguments.json ? print_json(json) : 0;
}

int show_models(const Environment& environment, const ModelsArguments& arguments) {
  const fs::path folder = models_folder(environment);
  if (arguments.name.empty()) return list_models(arguments, all_specs(folder));
  const Spec spec = find_spec(arguments.name, folder);
  const Plan plan = make_plan(spec, plan_input(arguments, spec));
  if (arguments.json) {
    ordered_json json = plan_json(plan, spec);
    json["file"] = file_json(spec);
    return print_json(json);
  }
  fmt::print("{}", plan_table(plan, spec));
  return 0;
}

void declare_models(CLI::App& app, ModelsArguments& arguments) {
  app.add_option("NAME", arguments.name, "a shipped network or a YAML file [list them]");
  app.add_option("--batch", arguments.batch, "images of a step [the recipe's]")->check(CLI::Range(1, 65536));
  app.add_option("--image", arguments.image, "height, width and channels")
      ->expected(3)
      ->check(CLI::Range(1, 4096));
  app.add_option("--classes", arguments.classes, "width of the last layer")->check(CLI::Range(2, 256));
  add_json(app, arguments.json);
}

int show_devices(const Environment& /*environment*/, const bool& json) {
  const DeviceChoice choice = choose_device({});
  DeviceInfo info = choice.backend->info();
  if (info.gpus.empty()) info.gpus = all_gpus();
  if (json) return print_json(device_json(info, choice.gpu_reason));
  fmt::print("{}", device_report(info, choice.gpu_reason));
  return 0;
}

constexpr std::size_t kMostLabelRows = 26;

struct DataArguments {
  std::string data, augment, out = "data.html";
  int channels = 1;
  bool transpose = false;
  std::uint64_t seed = 1;
};

int show_data(const Environment& environment, const DataArguments& arguments) {
  const fs::path out = environment.runs.working_folder / arguments.out;
  const bool png = out.extension() == ".png";
  if (!png && out.extension() != ".html")
    throw UsageError(fmt::format("--out {}: neither a picture (.png) nor a page (.html)", arguments.out));
  std::optional<Spec> spec;
  Augmentation augmentation;
  if (!arguments.augment.empty()) {
    spec = find_spec(arguments.augment, models_folder(environment));
    augmentation = spec->recipe.input.augmentation;
    if (!augmentation.any())
      throw UsageError(
          fmt::format("--augment {}: its recipe has no `augment` in its `input`", arguments.augment));
  }
  const data::Dataset data =
      data::load_dataset(data_folder(environment, arguments.data),
                         {.channels = arguments.channels, .transpose = arguments.transpose});
  if (spec) check_augmentation(*spec, data.shape);
  const data::Image image = data_sheet(data, augmentation, arguments.seed, kMostLabelRows);
  if (png) {
    const std::vector<std::uint8_t> file = data::png_file(image);
    write_file_durably(out, {reinterpret_cast<const char*>(file.data()), file.size()});
  } else {
    const std::string rows =
        augmentation.any()
            ? fmt::format("A row for each label: its first image, then how nine epochs of {} show it: {}.",
                          arguments.augment, fmt::join(augmentation_lines(augmentation), "; "))
            : "A row for each label: its first ten images.";
    const ordered_json page{{"title", data.name}, {"text", rows}, {"picture", data_uri(image)}};
    write_file_durably(out, filled_template(kDataTemplate, page));
  }
  fmt::print("{}\n", out.string());
  return 0;
}

void declare_data(CLI::App& app, DataArguments& arguments) {
  add_data(app, arguments.data, "IDX files or folder of pictures [MNIST]");
  add_channels(app, arguments.channels);
  add_transpose(app, arguments.transpose);
  app.add_option("--augment", arguments.augment, "show what the recipe of this network makes of the images");
  add_seed(app, "--seed", arguments.seed, "of what is drawn");
  app.add_option("-o,--out", arguments.out, "the page (.html) or picture (.png); replaced if it is there");
}

}  // namespace

const Command kModels{"models", "list the shipped networks, or print the plan of one",
                      declared<declare_models, show_models>};

const Command kDevices{"devices", "say what this machine trains on, and why",
                       declared<declare_json, show_devices>};
const Command kDataShow{"show", "show images of a data set, or what a recipe makes of them",
                        declared<declare_data, show_data>};

}  // namespace trainer
