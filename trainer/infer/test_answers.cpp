#include "trainer/infer/test_answers.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

// --data, else what the run itself was trained on, else what a training without --data would take.
std::filesystem::path test_data_folder(const Environment& environment, const TestDataRequest& request) {
  const std::filesystem::path run = resolve_run(request.run, environment.runs);
  const std::filesystem::path folder = std::filesystem::is_directory(run) ? run : run.parent_path();
  if (!request.data.empty() || environment.data || !std::filesystem::exists(folder / kRunRecordName)) {
    return data_folder(environment, request.data);
  }
  return data_folder(environment, read_run_record(folder / kRunRecordName).data.path);
}

}  // namespace

data::Dataset matching_test_data(const Environment& environment, const TestDataRequest& request,
                                 const SavedNetwork& saved) {
  data::LoadOptions options;
  options.channels = saved.settings.channels;
  options.classes = saved.classes;
  options.skip_bad_images = request.skip_bad_images;
  data::Dataset dataset = data::load_dataset(test_data_folder(environment, request), options);
  const Shape& s = dataset.shape;
  if (s != saved.image) {
    throw UsageError(fmt::format("{}: images of {}x{}x{}, but the network takes {}x{}x{}",
                                 dataset.path.string(), s.h, s.w, s.c, saved.image.h, saved.image.w,
                                 saved.image.c));
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

std::uint64_t TestAnswers::labelled(int label) const {
  std::uint64_t sum = 0;
  for (int p = 0; p < classes; ++p) sum += at(label, p);
  return sum;
}

std::uint64_t TestAnswers::predicted(int prediction) const {
  std::uint64_t sum = 0;
  for (int l = 0; l < classes; ++l) sum += at(l, prediction);
  return sum;
}

TestAnswers answer_test_set(TrainedNetwork& trained, const data::Split& test) {
  TestAnswers answers;
  answers.classes = trained.saved().classes;
  const auto classes = static_cast<std::size_t>(answers.classes);
  answers.confusion.assign(classes * classes, 0);
  const std::vector<std::uint8_t> images(test.images.begin(), test.images.end());
  const std::vector<float> probabilities = trained.probabilities(images);
  double loss = 0;
  std::uint64_t correct = 0;
  for (std::size_t n = 0; n < test.count(); ++n) {
    const float* row = probabilities.data() + n * classes;
    const auto predicted = static_cast<std::size_t>(std::max_element(row, row + classes) - row);
    const std::size_t label = test.labels[n];
    loss -= std::log(std::max(static_cast<double>(row[label]), 1e-38));
    correct += predicted == label ? 1 : 0;
    ++answers.confusion[label * classes + predicted];
    answers.predictions.push_back(static_cast<std::uint8_t>(predicted));
    answers.confidences.push_back(row[predicted]);
  }
  const auto count = static_cast<double>(test.count());
  answers.score = {test.count(), loss / count, static_cast<double>(correct) / count};
  return answers;
}

double fraction(std::uint64_t part, std::uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace trainer
