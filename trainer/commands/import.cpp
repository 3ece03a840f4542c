// trainer import: a run of weights that another program trained, with a folder and a record as any run's, and the accuracy that they
// have here. Everything is read, checked and tested before the folder is made.
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/interchange/layout.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/evaluation.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

struct ImportArguments {
  std::string file;
  std::string model;
  std::string layout = "torch";
  std::optional<double> mean, deviation;
  std::string data;
  OutputOptions output;
  TrainSettings settings;
  DeviceRequest device;
};

// The option, the number in the file's metadata, or the recipe's.
double told(const std::optional<double>& option, const SafetensorsFile& file, const char* key, double usual) {
  const auto found = file.metadata().find(key);
  if (option || found == file.metadata().end()) return option.value_or(usual);
  const auto json = nlohmann::ordered_json::parse(found->second, nullptr, false);
  if (json.is_number()) return json.get<double>();
  throw FileError(fmt::format("{}: its metadata '{}' is '{}', not a number: give --{}", file.path().string(),
                              key, found->second, key));
}

Normalisation input_of(const ImportArguments& arguments, const SafetensorsFile& file, PixelScaling& scaling) {
  const Normalisation usual = normalisation_of(scaling);
  if (scaling.by_image && (arguments.mean || arguments.deviation))
    throw UsageError("--mean, --std: the recipe has `normalize: image`, so that both follow from each image");
  if (scaling.by_image) return usual;
  const Normalisation input{told(arguments.mean, file, "mean", usual.mean),
                            told(arguments.deviation, file, "std", usual.deviation)};
  scaling = {static_cast<float>(1 / (255 * input.deviation)),
             static_cast<float>(-input.mean / input.deviation)};
  if (input.deviation > 0 && std::isfinite(scaling.scale) && std::isfinite(scaling.shift)) return input;
  throw UsageError(fmt::format("--mean {} --std {}: of pixels from 0 to 1, the latter above 0", input.mean,
                               input.deviation));
}

int import_weights(const Environment& environment, const ImportArguments& arguments) {
  SafetensorsFile file = SafetensorsFile::read(environment.runs.working_folder / arguments.file, Writer::any);
  Spec spec = find_spec(arguments.model, models_folder(environment));
  PreparedRun run{.environment = environment};
  run.open_device(arguments.device);
  TrainSettings settings = arguments.settings;
  settings.from = std::filesystem::absolute(file.path()).lexically_normal().string();
  settings.from_sha256 = file.sha256();
  run.settle(std::move(spec), settings,
             data::load_dataset(data_folder(environment, arguments.data), load_options(settings)));
  const Normalisation input = input_of(arguments, file, run.setup.scaling);
  const Layout layout = arguments.layout == "torch" ? Layout::torch : Layout::native;
  const auto weights = read_weights(file, run.setup.plan, layout);
  Network network(run.setup.plan, *run.device.backend, Purpose::inference);
  for (const NetworkTensor& tensor : network.tensors()) network.write(tensor, weights.at(tensor.name));
  const ResidentData data(*run.device.backend, run.setup);
  const Score score =
      evaluate(network, *run.device.backend, data.test_input(run.setup.test), [] { return false; }).value();
  if (!std::isfinite(score.loss))
    throw FileError(fmt::format("{}: the network's output is not finite", file.path().string()));
  RecordedRun recorded(run, arguments.output, run.setup.spec.name);
  Console console(stdout, {.quiet = arguments.output.quiet, .json = arguments.output.json});
  return recorded.guard(console, [&] {
    recorded.note_libraries();
    recorded.save_model(network);
    recorded.record.results = {{"stopped_by", "imported"},
                               {"step", 0},
                               {"epochs", 0},
                               {"test", score_json(score)},
                               {"input", {{"mean", input.mean}, {"std", input.deviation}}}};
    recorded.close(RunStatus::kFinished, "imported");
    console.text(report_line("weights", fmt::format("{}, as {}", *settings.from, run.setup.spec.name)));
    console.text(report_line("input", fmt::format("mean {:.6g}, std {:.6g}", input.mean, input.deviation)));
    console.text(
        report_line("accuracy", fmt::format("{} on {} test images, loss {:.4f}", accuracy_text(score),
                                            grouped(score.images), score.loss)));
    console.text(report_line("results", recorded.path()));
    print_event(console, "end", recorded.record.results);
    return 0;
  });
}

void declare_import(CLI::App& app, ImportArguments& arguments) {
  arguments.device.precision = "fp32";
  app.add_option("FILE", arguments.file, "a .safetensors file")->required();
  app.add_option("--model", arguments.model, "the network: a shipped one (trainer models) or a YAML file")
      ->required();
  app.add_option("--layout", arguments.layout,
                 "of the tensors: torch (a torch.nn.Module's state_dict) or native (this program's)")
      ->check(CLI::IsMember({"torch", "native"}))
      ->capture_default_str();
  app.add_option(
      "--mean", arguments.mean,
      "that was subtracted from pixels of 0 to 1 in training [the file's metadata, else the recipe's]");
  app.add_option("--std", arguments.deviation, "that they were then divided by [likewise]");
  add_data(app, arguments.data);
  add_channels(app, arguments.settings.channels);
  add_transpose(app, arguments.settings.transpose);
  add_skip_bad_images(app, arguments.settings.skip_bad_images);
  add_device(app, arguments.device.device);
  add_threads(app, arguments.device);
  add_output(app, arguments.output,
             "folder of the run [runs/<date-time>-<model>-<seed>, in TRAINER_RUNS if set]",
             "errors and warnings only [off]");
}

}  // namespace

Command add_import(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "import", "make a run of weights that another program trained",
                     declare_import, import_weights);
}

}  // namespace trainer
