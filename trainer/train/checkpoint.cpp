// Metadata keys: format, version, model, spec, settings, image, classes, label_names, scaling, data, fit, and in a checkpoint
// also position, threads and engine. Floating-point numbers that must be restored bit for bit are written in hexadecimal.
#include "trainer/train/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <new>
#include <nlohmann/json.hpp>
#include <set>

#include "data/image.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/json_fields.hpp"
#include "trainer/train/digest.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr const char* kFormat = "mnist-trainer";
// What an exchange of gradients by few bits has left out so far: [ranks, floats of the gradient], and [floats].
constexpr const char* kOwnResiduals = "gradient_residuals.own";
constexpr const char* kSumResiduals = "gradient_residuals.sum";

std::string exact(double value) {
  return fmt::format("{:a}", value);
}

double from_exact(const std::string& text) {
  std::size_t used = 0;
  const double value = std::stod(text, &used);
  if (used != text.size()) throw std::invalid_argument(text);
  return value;
}

std::vector<std::uint64_t> shape_of(const std::vector<int>& shape) {
  return {shape.begin(), shape.end()};
}

std::string position_text(const LoopPosition& position, const StepState& state) {
  return ordered_json{{"step", position.step},
                      {"passes", position.epochs},
                      {"pass_seconds", position.epoch_seconds},
                      {"loss_sum", exact(state.loss_sum)},
                      {"hits", state.correct},
                      {"images", state.images}}
      .dump();
}

void read_position(const std::string& text, SavedNetwork& saved) {
  const auto json = ordered_json::parse(text);
  saved.position = {whole_number(json.at("step")), whole_number(json.at("passes")),
                    json.at("pass_seconds").get<double>()};
  saved.state.step = saved.position.step;
  saved.state.seed = saved.settings.seed;
  saved.state.loss_sum = from_exact(json.at("loss_sum").get<std::string>());
  saved.state.correct = whole_number(json.at("hits"));
  saved.state.images = whole_number(json.at("images"));
}

Metadata describe_network(const Setup& setup) {
  const Shape& image = setup.plan.input.image;
  ordered_json scaling = ordered_json::object();
  scaling["scale"] = exact(setup.scaling.scale);
  scaling["shift"] = exact(setup.scaling.shift);
  return {{"format", kFormat},
          {"version", std::to_string(kCheckpointVersion)},
          {"model", setup.spec.name},
          {"spec", setup.spec.text},
          {"settings", to_json(setup.settings).dump()},
          {"image", ordered_json({image.h, image.w, image.c}).dump()},
          {"classes", std::to_string(setup.plan.input.classes)},
          {"label_names", ordered_json(setup.dataset.label_names).dump()},
          {"scaling", scaling.dump()},
          {"data", setup.dataset.fingerprint},
          {"fit", data::have_digit_form(setup.dataset.train.images, image) ? "digit" : "picture"}};
}

// Files of version 0.1.0 have no 'fit'.
std::string fit_of(const SafetensorsFile& file, const SavedNetwork& saved) {
  const auto found = file.metadata().find("fit");
  if (found != file.metadata().end()) return found->second;
  if (saved.image.c != 1) return "picture";
  return saved.fingerprint == data::kMnistFingerprint ? "digit" : "";
}

// The hash says that a file is whole, not that its numbers make sense.
void require_sense(const SavedNetwork& saved) {
  const auto within = [](long long value, long long least, long long most, const char* what) {
    if (value < least || value > most)
      throw std::out_of_range(fmt::format("{} is {}, not {} to {}", what, value, least, most));
  };
  within(saved.image.h, 1, data::kLargestSide, "the images' height");
  within(saved.image.w, 1, data::kLargestSide, "the images' width");
  within(saved.image.c, 1, 4, "the images' number of channels");
  within(saved.classes, 2, data::kMostClasses, "the number of classes");
  within(saved.settings.epochs.value_or(1), 1, 1'000'000, "'epochs'");
  within(saved.settings.batch.value_or(1), 1, 65536, "'batch'");
  within(saved.settings.channels, 1, 4, "'channels'");
  if (saved.resumable) within(saved.threads, 1, 1024, "the number of threads");
  within(saved.settings.limit_train.value_or(1), 1, UINT32_MAX, "'limit_train'");
  if (!std::isfinite(saved.scaling.scale) || !std::isfinite(saved.scaling.shift) ||
      !std::isfinite(saved.state.loss_sum))
    throw std::out_of_range("a number that is not finite");
  if (!saved.fit.empty() && saved.fit != "digit" && saved.fit != "picture")
    throw std::out_of_range(fmt::format("'fit' is '{}', not 'digit' or 'picture'", saved.fit));
}

void require_our_format(const SafetensorsFile& file) {
  const auto found = file.metadata().find("format");
  if (found == file.metadata().end() || found->second != kFormat) {
    throw FileError(
        fmt::format("{}: a safetensors file, but not one of this program (metadata 'format' is not '{}'); "
                    "trainer import makes a run of it",
                    file.path().string(), kFormat));
  }
  const std::string& version = file.text("version");
  if (version != std::to_string(kCheckpointVersion)) {
    throw FileError(
        fmt::format("{}: format version {}, this program reads version {}; use the program that wrote it",
                    file.path().string(), version, kCheckpointVersion));
  }
}

bool all_finite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

// A weight may overflow in a step with a finite loss, above all in fp16: then the file that is on disk already is the better one.
void require_finite(const NetworkTensor& tensor, const std::vector<float>& values) {
  if (all_finite(values)) return;
  throw BackendError(fmt::format(
      "{} holds values that are not finite and is not saved; try a lower --lr, or --precision bf16 or fp32",
      tensor.name));
}

std::vector<float> stored_values(const SafetensorsFile& file, const std::string& name,
                                 const std::vector<int>& shape) {
  const auto bytes = file.require(name, shape_of(shape));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  if (!all_finite(values))
    throw FileError(fmt::format("{}: tensor '{}' holds a number that is not finite (NaN or infinity)",
                                file.path().string(), name));
  return values;
}

}  // namespace

std::vector<float> tensor_values(const SafetensorsFile& file, const std::string& name,
                                 const std::vector<int>& shape) {
  const std::string average = name + std::string(kAverageSuffix);
  return stored_values(file, file.find(average) != nullptr ? average : name, shape);
}

RecipePrecisions trained_precision(const TrainSettings& settings) {
  const Precision precision = precision_named(settings.precision.value_or("")).value_or(Precision::fp32);
  return {{precision}, {precision}};
}

void save_network(const std::filesystem::path& path, const Setup& setup, const Network& network,
                  const DeviceInfo& info, const LoopPosition* position) {
  Metadata metadata = describe_network(setup);
  if (position != nullptr) {
    metadata["position"] = position_text(*position, network.read_training_state());
    metadata["threads"] = std::to_string(info.cpu.threads);
    metadata["engine"] = engine_text(info);
  }
  std::vector<std::vector<float>> values;
  std::vector<Tensor> tensors;
  for (const NetworkTensor& tensor : network.tensors()) {
    if (position == nullptr && tensor.arena > 0) continue;
    values.push_back(network.read(position == nullptr ? network.tested(tensor) : tensor));
    require_finite(tensor, values.back());
    tensors.push_back({tensor.name, shape_of(tensor.shape), std::as_bytes(std::span(values.back()))});
  }
  if (position != nullptr && !network.residuals().own.empty()) {
    const auto& [own, sum] = network.residuals();
    tensors.push_back({kOwnResiduals, {own.size() / sum.size(), sum.size()}, std::as_bytes(std::span(own))});
    tensors.push_back({kSumResiduals, {sum.size()}, std::as_bytes(std::span(sum))});
  }
  write_safetensors(path, tensors, std::move(metadata));
}

SavedNetwork read_saved_network(const SafetensorsFile& file) {
  require_our_format(file);
  SavedNetwork saved;
  saved.spec = parse_spec(file.text("spec"), file.path().string() + ":spec");
  try {
    saved.settings =
        settings_from_json(ordered_json::parse(file.text("settings")), file.path().string() + ":settings");
    const auto image = ordered_json::parse(file.text("image"));
    saved.image = {whole_number<int>(image.at(0)), whole_number<int>(image.at(1)),
                   whole_number<int>(image.at(2))};
    saved.classes = std::stoi(file.text("classes"));
    saved.label_names = ordered_json::parse(file.text("label_names")).get<std::vector<std::string>>();
    const auto scaling = ordered_json::parse(file.text("scaling"));
    const auto number = [&](const char* key) { return static_cast<float>(from_exact(scaling.at(key))); };
    saved.scaling = {number("scale"), number("shift"), saved.spec.recipe.input.by_image};
    saved.fingerprint = file.text("data");
    saved.fit = fit_of(file, saved);
    saved.resumable = file.metadata().contains("position");
    if (saved.resumable) {
      read_position(file.text("position"), saved);
      saved.threads = std::stoi(file.text("threads"));
      saved.engine = file.text("engine");
    }
    require_sense(saved);
  } catch (const std::exception& error) {
    const bool is_file = dynamic_cast<const FileError*>(&error) != nullptr;
    if (is_file || dynamic_cast<const std::bad_alloc*>(&error) != nullptr) throw;
    throw FileError(fmt::format("{}: metadata that cannot be read: {}", file.path().string(), error.what()));
  }
  return saved;
}

void load_tensors(const SafetensorsFile& file, Network& network) {
  for (const NetworkTensor& tensor : network.tensors())
    static_cast<void>(stored_values(file, tensor.name, tensor.shape));
  for (const NetworkTensor& tensor : network.tensors())
    network.write(tensor, stored_values(file, tensor.name, tensor.shape));
}

void load_residuals(const SafetensorsFile& file, Network& network) {
  const auto values = [&](const char* name) {
    const Tensor* found = file.find(name);
    if (found == nullptr) return std::vector<float>{};
    return stored_values(file, name, {found->shape.begin(), found->shape.end()});
  };
  const Residuals residuals{values(kOwnResiduals), values(kSumResiduals)};
  try {
    if (!residuals.own.empty()) network.exchange()->set_residuals(residuals);
  } catch (const std::invalid_argument& error) {
    throw FileError(fmt::format("{}: {}", file.path().string(), error.what()));
  }
}

std::string differences_of(const SafetensorsFile& file, std::span<const WantedTensor> wanted) {
  std::vector<std::string> differences;
  std::set<std::string> known;
  for (const auto& [name, shape] : wanted) {
    known.insert(name);
    if (shape.empty()) continue;
    const Tensor* found = file.find(name);
    if (found == nullptr) {
      differences.push_back(fmt::format("'{}' [{}] is missing", name, fmt::join(shape, ", ")));
    } else if (!std::ranges::equal(found->shape, shape_of(shape))) {
      differences.push_back(
          fmt::format("'{}' is [{}], not [{}]", name, fmt::join(found->shape, ", "), fmt::join(shape, ", ")));
    } else {
      static_cast<void>(tensor_values(file, name, shape));
    }
  }
  for (const Tensor& tensor : file.tensors()) {
    if (tensor.name == kOwnResiduals || tensor.name == kSumResiduals) continue;
    const bool of_optimizer = known.contains(tensor.name.substr(0, tensor.name.rfind('.')));
    if (!of_optimizer && !known.contains(tensor.name))
      differences.push_back(fmt::format("'{}' is not in the network", tensor.name));
  }
  return fmt::format("{}", fmt::join(differences, "; "));
}

static std::vector<WantedTensor> wanted_tensors(const Plan& plan, bool new_head) {
  std::vector<WantedTensor> wanted;
  for (const PlannedOp& op : plan.ops)
    for (const PlannedParameter& parameter : op.parameters)
      wanted.push_back(
          {parameter.name, new_head && &op == &plan.ops.back() ? std::vector<int>{} : parameter.desc.shape});
  return wanted;
}

void require_weights(const SafetensorsFile& file, const Plan& plan, bool new_head) {
  const std::string differences = differences_of(file, wanted_tensors(plan, new_head));
  if (differences.empty()) return;
  throw FileError(fmt::format(
      "--from {}: its tensors do not fit the network '{}': {}; {}", file.path().string(), plan.model,
      differences,
      new_head ? "name a network with the same layers below the last with --model"
      : differences_of(file, wanted_tensors(plan, true)).empty()
          ? "name the network that it holds with --model, or keep all but the last layer with --new-head"
          : "name the network that it holds with --model, and images of its size with --data"));
}

void load_weights(const SafetensorsFile& file, Network& network, bool new_head) {
  const int head = static_cast<int>(network.plan().ops.size()) - 1;
  for (const NetworkTensor& tensor : network.tensors())
    if (tensor.arena == 0 && !(new_head && tensor.op == head))
      network.write(tensor, tensor_values(file, tensor.name, tensor.shape));
}

}  // namespace trainer
