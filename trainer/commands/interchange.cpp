// Trained networks to and from other programs. trainer export writes one for ONNX or PyTorch. trainer import makes a run of weights that
// another program trained, with a folder and a record as any run's, and the accuracy that they have here: everything is read, checked
// and tested before the folder is made.
#include "trainer/interchange/interchange.hpp"

#include <cmath>
#include <system_error>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/train/evaluation.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

struct ExportArguments {
  std::string run;
  std::string out;
  std::string layout = "onnx";
  std::optional<int> opset;
};

// What a model says about itself: network, run, hash, labels and, where the run's record knows it, accuracy.
Metadata properties(const fs::path& run, const SafetensorsFile& file, const SavedNetwork& saved) {
  Metadata all{{"network", saved.spec.name},
               {"run", printable(fs::absolute(run).lexically_normal().filename().string())},
               {std::string(kContentHashKey), file.text(std::string(kContentHashKey))},
               {"labels", to_text(ordered_json(saved.label_names))}};
  const fs::path record = (fs::is_directory(run) ? run : run.parent_path()) / kRunRecordName;
  if (!fs::exists(record)) return all;
  if (const auto accuracy = find_number(read_run_record(record).results, {"test", "accuracy"}))
    all["test_accuracy"] = fmt::format("{}", *accuracy);
  return all;
}

// Where the file goes. Throws for what would take the network's own place, or is meant otherwise.
fs::path target_of(const Environment& environment, const ExportArguments& arguments, const fs::path& source) {
  const bool torch = arguments.layout == "torch";
  fs::path path = environment.runs.working_folder / arguments.out;
  std::error_code ignored;
  if (torch && arguments.opset) throw UsageError("--opset goes with --layout onnx");
  if (path.extension() == (torch ? ".onnx" : ".safetensors"))
    throw UsageError(fmt::format("-o {}: --layout {} writes another kind of file; give --layout {}",
                                 arguments.out, arguments.layout, torch ? "onnx" : "torch"));
  if (fs::equivalent(path, source, ignored))
    throw FileError(
        fmt::format("cannot write {}: it is the network itself: name another path", path.string()));
  return path;
}

void write_torch(const fs::path& path, std::span<const LaidOutTensor> weights, const PixelScaling& scaling,
                 Metadata metadata) {
  const Normalisation input = normalisation_of(scaling);
  metadata["mean"] = fmt::format("{}", input.mean);
  metadata["std"] = fmt::format("{}", input.deviation);
  if (scaling.by_image) metadata["normalize"] = "image";
  metadata["format"] = "pt";  // by which Python's safetensors knows torch
  std::vector<Tensor> tensors;
  for (const LaidOutTensor& one : weights)
    tensors.push_back({one.name, one.shape, std::as_bytes(std::span(one.values))});
  write_safetensors(path, tensors, std::move(metadata));
}

int export_network(const Environment& environment, const ExportArguments& arguments) {
  const fs::path run = resolve_run(arguments.run, environment.runs);
  const SafetensorsFile file = SafetensorsFile::read(model_file(run));
  const fs::path path = target_of(environment, arguments, file.path());
  const SavedNetwork saved = read_saved_network(file);
  const Plan plan = make_plan(saved.spec, {saved.image, saved.classes, 1});
  const std::vector<LaidOutTensor> weights = torch_weights(file, plan);
  if (arguments.layout == "torch") {
    write_torch(path, weights, saved.scaling, properties(run, file, saved));
  } else {
    const std::string model =
        onnx_model(saved, plan, weights, arguments.opset.value_or(kUsualOpset), properties(run, file, saved));
    if (model.size() > std::numeric_limits<std::int32_t>::max())
      throw FileError(fmt::format("{}: an ONNX file holds at most 2 GiB; --layout torch holds more",
                                  file.path().string()));
    write_file_durably(path, model);
  }
  fmt::print("{}\n", path.string());
  if (saved.spec.recipe.views > 1)
    fmt::print(stderr,
               "note: the file answers from one view of each image; trainer eval --views 1 measures that\n");
  return 0;
}

void declare_export(CLI::App& app, ExportArguments& arguments) {
  add_run_or_file(app, arguments.run);
  app.add_option("-o,--out", arguments.out, "the file; replaced if it is there")->required();
  app.add_option("--layout", arguments.layout,
                 "onnx: the network from bytes to probabilities; torch: its weights as safetensors, with the "
                 "names and shapes of a torch.nn.Module")
      ->check(CLI::IsMember({"onnx", "torch"}));
  app.add_option("--opset", arguments.opset, fmt::format("version of ONNX's operators [{}]", kUsualOpset))
      ->check(CLI::Range(kOldestOpset, kNewestOpset));
}

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
  const auto json = ordered_json::parse(found->second, nullptr, false);
  if (json.is_number()) return json.get<double>();
  throw FileError(fmt::format("{}: its metadata '{}' is '{}', not a number: give --{}", file.path().string(),
                              key, found->second, key));
}

Normalisation input_of(const ImportArguments& arguments, const SafetensorsFile& file, PixelScaling& scaling) {
  const Normalisation usual = normalisation_of(scaling);
  const Metadata& metadata = file.metadata();
  const bool trained_by_image = metadata.contains("normalize") && metadata.at("normalize") == "image";
  if (trained_by_image != scaling.by_image &&
      (trained_by_image || metadata.contains("mean") || metadata.contains("std")))
    throw UsageError(
        fmt::format("{}: by its metadata it was trained {} `normalize: image`, and {} is {} it: name a "
                    "network with the same input with --model",
                    file.path().string(), trained_by_image ? "with" : "without", arguments.model,
                    scaling.by_image ? "with" : "without"));
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
  settings.from = fs::absolute(file.path()).lexically_normal().string();
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
    const bool by_image = run.setup.scaling.by_image;
    if (by_image) recorded.record.results["input"] = {{"normalize", "image"}};
    recorded.close(RunStatus::kFinished, "imported");
    console.text(report_line("weights", fmt::format("{}, as {}", *settings.from, run.setup.spec.name)));
    console.text(
        report_line("input", by_image ? "each image by its own mean and deviation"
                                      : fmt::format("mean {:.6g}, std {:.6g}", input.mean, input.deviation)));
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
      ->check(CLI::IsMember({"torch", "native"}));
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

const Command kExport{"export", "write a trained network for ONNX or PyTorch",
                      declared<declare_export, export_network>};
const Command kImport{"import", "make a run of weights that another program trained",
                      declared<declare_import, import_weights>};

}  // namespace trainer
