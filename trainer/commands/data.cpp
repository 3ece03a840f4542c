// trainer data show: what a data set's images look like, or what a recipe makes of them.
#include <fmt/format.h>

#include "models/recipe.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/markup.hpp"
#include "trainer/report/report_network.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostLabelRows = 26;

struct DataArguments {
  std::string data, augment, out = "data.html";
  int channels = 1;
  bool transpose = false;
  std::uint64_t seed = 1;
};

std::string data_page(const std::string& title, const std::string& text, const data::Image& image) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title>\n"
      "<body style=\"font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em\">\n"
      "<h1>{0}</h1>\n<p>{1}</p>\n<img src=\"{2}\" alt=\"\" style=\"max-width: 100%; image-rendering: "
      "pixelated\">\n</body></html>\n",
      escaped(title), escaped(text), data_uri(image));
}

int show_data(const Environment& environment, const DataArguments& arguments) {
  const std::filesystem::path out = environment.runs.working_folder / arguments.out;
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
    write_file_durably(out, data_page(data.name, rows, image));
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
  app.add_option("-o,--out", arguments.out, "the page (.html) or picture (.png); replaced if it is there")
      ->capture_default_str();
}

}  // namespace

Command add_data_sets(CLI::App& app, const Environment& environment) {
  CLI::App* data = app.add_subcommand("data", "look at a data set: show");
  data->require_subcommand(1);
  const std::vector<Command> all{add_command(*data, environment, "show",
                                             "show images of a data set, or what a recipe makes of them",
                                             declare_data, show_data)};
  return {data, [all] { return run_chosen(all); }};
}

}  // namespace trainer
