// trainer eval: a saved network on a test set: accuracy, loss, a row for each class, confusion matrix. trainer committee: several
// networks answer as one, by the mean of their log-softmax.
#include <fmt/ranges.h>

#include "trainer/commands/commands.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

struct EvalOptions : InferenceOptions {
  std::string logits;  // the file
  bool json = false;
};

// A line for each test image.
std::string logits_csv(const TestAnswers& e, const data::Split& test) {
  std::string text = "label,prediction";
  for (int c = 0; c < e.classes; ++c) text += fmt::format(",logit {}", c);
  for (std::size_t n = 0; n < test.count(); ++n) {
    const auto row = e.logits.begin() + static_cast<std::ptrdiff_t>(n) * e.classes;
    text += fmt::format("\n{},{},{}", test.labels[n], e.predictions[n], fmt::join(row, row + e.classes, ","));
  }
  return text + "\n";
}

void print_classes(const TestAnswers& e, const TrainedNetwork& trained) {
  fmt::print("\n{:>12} {:>8} {:>8} {:>10} {:>10}\n", "class", "images", "correct", "recall %", "precision %");
  for (int c = 0; c < e.classes; ++c) {
    fmt::print("{:>12} {:>8} {:>8} {:>10.2f} {:>10.2f}\n", trained.label_name(c), e.labelled(c), e.at(c, c),
               100 * fraction(e.at(c, c), e.labelled(c)), 100 * fraction(e.at(c, c), e.predicted(c)));
  }
}

void print_confusion(const TestAnswers& e, const TrainedNetwork& trained) {
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

ordered_json answers_json(const TestAnswers& e, const TrainedNetwork& trained, const data::Dataset& dataset) {
  ordered_json json = ordered_json::object();
  json["model"] = trained.saved().spec.name;
  json["file"] = trained.path().string();
  json["device"] = trained.device_name() == std::string_view("GPU") ? "cuda" : "cpu";
  json["precision"] = trained.precision();
  if (!trained.others().empty()) json["members"] = trained.others();
  if (trained.views() > 1) json["views"] = trained.views();
  json["data"] = {{"path", dataset.path.string()},
                  {"fingerprint", dataset.fingerprint},
                  {"trained_on", dataset.fingerprint == trained.saved().fingerprint}};
  json.update(score_json(e.score));
  json["classes"] = ordered_json::array();
  for (int c = 0; c < e.classes; ++c) {
    json["classes"].push_back({{"name", trained.label_name(c)},
                               {"images", e.labelled(c)},
                               {"hits", e.at(c, c)},
                               {"recall", fraction(e.at(c, c), e.labelled(c))},
                               {"precision", fraction(e.at(c, c), e.predicted(c))}});
  }
  json["confusion"] = ordered_json::array();
  for (int l = 0; l < e.classes; ++l) {
    const auto row = e.confusion.begin() + static_cast<std::ptrdiff_t>(l) * e.classes;
    json["confusion"].push_back(std::vector<std::uint64_t>(row, row + e.classes));
  }
  return json;
}

int eval(const Environment& environment, const EvalOptions& given) {
  constexpr int kBatch = 256;
  const std::unique_ptr<Communicator> ranks = join_ranks(environment);
  EvalOptions arguments = given;
  if (ranks != nullptr) share_machine(arguments.device, places_of(*ranks));
  TrainedNetwork trained(environment, arguments, kBatch);
  const data::Dataset dataset = matching_test_data(environment, arguments, trained.saved());
  const TestAnswers answers = answer_test_set(trained, dataset.test, ranks.get());
  if (ranks != nullptr && ranks->rank() > 0) return 0;
  if (!arguments.logits.empty())
    write_file_durably(environment.runs.working_folder / arguments.logits, logits_csv(answers, dataset.test));
  if (arguments.json) return print_json(answers_json(answers, trained, dataset));
  fmt::print("{:<14}{} ({})\n", "model", trained.saved().spec.name, trained.path().string());
  for (const std::string& member : trained.others()) fmt::print("{:<14}{}\n", "and", member);
  if (trained.views() > 1) fmt::print("{:<14}{}\n", "views", kViewsText);
  fmt::print("{:<14}{}: {} test images ({})\n{:<14}{} on the {}\n", "data", dataset.name,
             dataset.test.count(), dataset.path.string(), "precision", trained.precision(),
             trained.device_name());
  if (dataset.fingerprint != trained.saved().fingerprint) {
    fmt::print("{:<14}other data than the network was trained on\n", "note");
  }
  if (dataset.is_transposed && !trained.saved().settings.transpose && !arguments.transpose)
    fmt::print("{:<14}{}\n", "note", kTransposedNote);
  fmt::print("{:<14}{}, loss {:.4f}\n", "accuracy", accuracy_text(answers.score), answers.score.loss);
  print_classes(answers, trained);
  print_confusion(answers, trained);
  return 0;
}

void add_eval_options(CLI::App& app, EvalOptions& arguments) {
  add_inference(app, arguments);
  add_data(app, arguments.data, "IDX files or folder of pictures [what the run was trained on]");
  add_transpose(app, arguments.transpose);
  add_skip_bad_images(app, arguments.skip_bad_images);
  app.add_option(
      "--precision", arguments.device.precision,
      "of products: fp32 or, where the device has it, tf32, fp16, bf16 [what the run was trained in]");
  app.add_option(
      "--logits", arguments.logits,
      "write label, prediction and logits of each test image, as CSV; replaced if it is there [none]");
  add_json(app, arguments.json);
}

void declare_eval(CLI::App& app, EvalOptions& options) {
  add_run_or_file(app, options.run);
  add_eval_options(app, options);
}

struct CommitteeOptions : EvalOptions {
  std::vector<std::string> runs, pictures;
  std::string fit = "auto";
  bool is_test = false;  // the default
};

int committee(const Environment& environment, const CommitteeOptions& given) {
  CommitteeOptions options = given;
  options.run = options.runs.front();
  options.members.assign(options.runs.begin() + 1, options.runs.end());
  if (options.pictures.empty()) return eval(environment, options);
  return predict(environment, {options, options.pictures, options.fit, options.json});
}

void declare_committee(CLI::App& app, CommitteeOptions& options) {
  constexpr int kMostMembers = 1000;
  app.add_option("RUN", options.runs, "runs, registered names or .safetensors files")
      ->required()
      ->expected(2, kMostMembers);
  CLI::Option* eval =
      app.add_flag("--eval", options.is_test, "test them on the test set, as without --predict");
  add_eval_options(app, options);
  CLI::Option* pictures =
      app.add_option("--predict", options.pictures, "tell what is in these PNG, JPEG or BMP files")
          ->excludes(eval);
  pictures->excludes(app.get_option("--logits"), app.get_option("--data"));
  add_fit(app, options.fit)->needs(pictures);
}

}  // namespace

const Command kEval{"eval", "test a trained network", declared<declare_eval, eval>};
const Command kCommittee{"committee", "test or ask several trained networks as one",
                         declared<declare_committee, committee>};

}  // namespace trainer
