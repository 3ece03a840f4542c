// trainer eval: a saved network on a test set: accuracy, loss, a row a class, confusion matrix.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/dataset.hpp"
#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/device_choice.hpp"
#include "trainer/files.hpp"
#include "trainer/loop.hpp"
#include "trainer/run_record.hpp"
#include "trainer/trained_network.hpp"
#include "trainer/training_output.hpp"

namespace trainer {

namespace {

struct EvalArguments {
  std::string run;
  std::string data;
  std::string device = "auto";
  std::optional<int> threads;
  bool skip_bad_images = false;
  bool json = false;
};

struct Evaluation {
  Score score;
  int classes = 0;
  std::vector<std::uint64_t> confusion;  // [label, prediction]

  std::uint64_t at(int label, int prediction) const {
    return confusion[static_cast<std::size_t>(label) * classes + prediction];
  }
  std::uint64_t labelled(int label) const {
    std::uint64_t sum = 0;
    for (int p = 0; p < classes; ++p) sum += at(label, p);
    return sum;
  }
  std::uint64_t predicted(int prediction) const {
    std::uint64_t sum = 0;
    for (int l = 0; l < classes; ++l) sum += at(l, prediction);
    return sum;
  }
};

double share(std::uint64_t part, std::uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// --data, else what the run itself was trained on, else what a training without --data would take.
std::filesystem::path test_data_folder(const Environment& environment, const EvalArguments& arguments) {
  const std::filesystem::path run = resolve_run(arguments.run, environment.runs);
  const std::filesystem::path folder = std::filesystem::is_directory(run) ? run : run.parent_path();
  if (!arguments.data.empty() || environment.data || !std::filesystem::exists(folder / kRunRecordName)) {
    return data_folder(environment, arguments.data);
  }
  return data_folder(environment, read_run_record(folder / kRunRecordName).data.path);
}

// A test set that the network can be asked about.
data::Dataset matching_data(const Environment& environment, const EvalArguments& arguments,
                            const SavedNetwork& saved) {
  data::LoadOptions options;
  options.channels = saved.settings.channels;
  options.classes = saved.classes;
  options.skip_bad_images = arguments.skip_bad_images;
  data::Dataset dataset = data::load_dataset(test_data_folder(environment, arguments), options);
  const data::ImageShape& s = dataset.shape;
  if (Shape{s.height, s.width, s.channels} != saved.image) {
    throw UsageError(fmt::format("{}: images of {}x{}x{}, but the network takes {}x{}x{}",
                                 dataset.path.string(), s.height, s.width, s.channels, saved.image.h,
                                 saved.image.w, saved.image.c));
  }
  if (dataset.classes > saved.classes) {
    throw UsageError(fmt::format("{}: {} classes, but the network tells {} apart", dataset.path.string(),
                                 dataset.classes, saved.classes));
  }
  const std::vector<std::string>& names = saved.label_names;
  if (!names.empty() && !dataset.label_names.empty() && names != dataset.label_names) {
    throw UsageError(fmt::format("{}: its labels are {}, but the network's are {}", dataset.path.string(),
                                 joined(dataset.label_names), joined(names)));
  }
  return dataset;
}

Evaluation evaluate_all(TrainedNetwork& trained, const data::Split& test) {
  Evaluation evaluation;
  evaluation.classes = trained.saved().classes;
  const auto classes = static_cast<std::size_t>(evaluation.classes);
  evaluation.confusion.assign(classes * classes, 0);
  const std::vector<std::uint8_t> images(test.images.begin(), test.images.end());
  const std::vector<float> probabilities = trained.probabilities(images);
  double loss = 0;
  std::uint64_t hits = 0;
  for (std::size_t n = 0; n < test.count(); ++n) {
    const float* row = probabilities.data() + n * classes;
    const auto predicted = static_cast<std::size_t>(std::max_element(row, row + classes) - row);
    const std::size_t label = test.labels[n];
    loss -= std::log(std::max(static_cast<double>(row[label]), 1e-38));
    hits += predicted == label ? 1 : 0;
    ++evaluation.confusion[label * classes + predicted];
  }
  const auto count = static_cast<double>(test.count());
  evaluation.score = {test.count(), loss / count, static_cast<double>(hits) / count};
  return evaluation;
}

void print_classes(const Evaluation& e, const TrainedNetwork& trained) {
  fmt::print("\n{:>12} {:>8} {:>8} {:>10} {:>10}\n", "class", "images", "hits", "recall %", "precision %");
  for (int c = 0; c < e.classes; ++c) {
    fmt::print("{:>12} {:>8} {:>8} {:>10.2f} {:>10.2f}\n", trained.label_name(c), e.labelled(c), e.at(c, c),
               100 * share(e.at(c, c), e.labelled(c)), 100 * share(e.at(c, c), e.predicted(c)));
  }
}

void print_confusion(const Evaluation& e, const TrainedNetwork& trained) {
  constexpr int kMostColumns = 20;  // a wider matrix is unreadable; --json has it
  if (e.classes > kMostColumns) {
    fmt::print("\nThe confusion matrix of {} classes is in --json.\n", e.classes);
    return;
  }
  fmt::print("\nconfusion matrix (rows: label, columns: prediction)\n{:>12}", "");
  for (int p = 0; p < e.classes; ++p) fmt::print(" {:>6.6}", trained.label_name(p));
  fmt::print("\n");
  for (int l = 0; l < e.classes; ++l) {
    fmt::print("{:>12}", trained.label_name(l));
    for (int p = 0; p < e.classes; ++p) {
      fmt::print(" {:>6}", e.at(l, p) == 0 ? "." : std::to_string(e.at(l, p)));
    }
    fmt::print("\n");
  }
}

void print_json(const Evaluation& e, const TrainedNetwork& trained, const data::Dataset& dataset) {
  nlohmann::ordered_json json;
  json["model"] = trained.saved().spec.name;
  json["file"] = trained.path().string();
  json["device"] = trained.device().backend->info().gpu ? "cuda" : "cpu";
  json["precision"] = precision_name(trained.device().precision);
  json["data"] = {{"path", dataset.path.string()}, {"fingerprint", dataset.fingerprint}};
  json.update(score_json(e.score));
  json["classes"] = nlohmann::ordered_json::array();
  for (int c = 0; c < e.classes; ++c) {
    json["classes"].push_back({{"name", trained.label_name(c)},
                               {"images", e.labelled(c)},
                               {"hits", e.at(c, c)},
                               {"recall", share(e.at(c, c), e.labelled(c))},
                               {"precision", share(e.at(c, c), e.predicted(c))}});
  }
  json["confusion"] = nlohmann::ordered_json::array();
  for (int l = 0; l < e.classes; ++l) {
    const auto row = e.confusion.begin() + static_cast<std::ptrdiff_t>(l) * e.classes;
    json["confusion"].push_back(std::vector<std::uint64_t>(row, row + e.classes));
  }
  fmt::print("{}\n", json.dump(2));
}

int eval(const Environment& environment, const EvalArguments& arguments) {
  TrainedNetwork trained(
      environment, arguments.run,
      {.device = arguments.device, .threads = arguments.threads, .plan_cache = environment.cache}, 256);
  const data::Dataset dataset = matching_data(environment, arguments, trained.saved());
  const Evaluation evaluation = evaluate_all(trained, dataset.test);
  if (arguments.json) {
    print_json(evaluation, trained, dataset);
    require_output();
    return 0;
  }
  fmt::print("{:<14}{} ({})\n{:<14}{}: {} test images\n{:<14}{} on the {}\n", "model",
             trained.saved().spec.name, trained.path().string(), "data", dataset.name, dataset.test.count(),
             "precision", precision_name(trained.device().precision),
             trained.device().backend->info().gpu ? "GPU" : "CPU");
  if (dataset.fingerprint != trained.saved().fingerprint) {
    fmt::print("{:<14}other data than the network was trained on\n", "note");
  }
  fmt::print("{:<14}{}, loss {:.4f}\n", "accuracy", accuracy_text(evaluation.score), evaluation.score.loss);
  print_classes(evaluation, trained);
  print_confusion(evaluation, trained);
  require_output();
  return 0;
}

}  // namespace

Command add_eval(CLI::App& app, const Environment& environment) {
  CLI::App* eval_app = app.add_subcommand("eval", "test a trained network");
  const auto arguments = std::make_shared<EvalArguments>();
  eval_app->add_option("RUN_OR_FILE", arguments->run, "a run's folder or id, 'last', or a .safetensors file")
      ->required();
  eval_app->add_option("--data", arguments->data,
                       "IDX files or folder of pictures [TRAINER_DATA, or the shipped MNIST]");
  eval_app->add_option("--device", arguments->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  eval_app->add_option("--threads", arguments->threads, "of the CPU engine [every usable core]");
  eval_app->add_flag("--skip-bad-images", arguments->skip_bad_images, "leave broken pictures out [off]");
  eval_app->add_flag("--json", arguments->json, "as JSON [off]");
  return {eval_app, [arguments, &environment] { return eval(environment, *arguments); }};
}

}  // namespace trainer
