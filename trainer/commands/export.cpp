// trainer export: a trained network for other programs.
#include <fmt/format.h>
#include <system_error>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/interchange/onnx.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

namespace fs = std::filesystem;

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
               {"labels", to_text(nlohmann::ordered_json(saved.label_names))}};
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
  return 0;
}

void declare_export(CLI::App& app, ExportArguments& arguments) {
  add_run_or_file(app, arguments.run);
  app.add_option("-o,--out", arguments.out, "the file; replaced if it is there")->required();
  app.add_option("--layout", arguments.layout,
                 "onnx: the network from bytes to probabilities; torch: its weights as safetensors, with the "
                 "names and shapes of a torch.nn.Module")
      ->check(CLI::IsMember({"onnx", "torch"}))
      ->capture_default_str();
  app.add_option("--opset", arguments.opset, fmt::format("version of ONNX's operators [{}]", kUsualOpset))
      ->check(CLI::Range(kOldestOpset, kNewestOpset));
}

}  // namespace

Command add_export(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "export", "write a trained network for ONNX or PyTorch",
                     declare_export, export_network);
}

}  // namespace trainer
