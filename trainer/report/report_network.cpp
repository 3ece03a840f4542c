#include "trainer/report/report_network.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <fmt/ranges.h>
#include <functional>
#include <new>
#include <openssl/evp.h>

#include "kernels/precision.hpp"
#include "models/recipe.hpp"
#include "models/words.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

constexpr int kBatch = 256;
constexpr std::size_t kMostMisclassified = 100, kMostFilters = 64, kMostFilterBytes = 60'000;

const std::string& name_of(const ExaminedNetwork& network, int label) {
  return network.label_names.at(static_cast<std::size_t>(label));
}

ordered_json misclassified_images(const ExaminedNetwork& network, const data::Dataset& dataset,
                                  std::size_t most_bytes) {
  ordered_json images = ordered_json::array();
  std::size_t bytes = 0;
  for (const std::size_t n : by_confidence(*network.test, dataset.test.labels)) {
    const std::size_t size = dataset.shape.size();
    const std::string picture =
        data_uri(shown_image(std::span(dataset.test.images).subspan(n * size, size), dataset.shape));
    bytes += picture.size();
    if (images.size() == kMostMisclassified || bytes > most_bytes) break;
    images.push_back({{"picture", picture},
                      {"index", n},
                      {"label", name_of(network, dataset.test.labels[n])},
                      {"prediction", name_of(network, network.test->predictions[n])},
                      {"confidence", fmt::format("{:.2f}", 100 * double{network.test->confidences[n]})}});
  }
  return images;
}

// The values of the page's filters; null if the network has none.
ordered_json filters_json(const Network& network) {
  const std::optional<FirstFilters> first = first_filters(network, kMostFilters);
  if (!first) return nullptr;
  ordered_json pictures = ordered_json::array();
  std::size_t bytes = 0;
  for (const data::Image& image : first->pictures) {
    pictures.push_back({{"picture", data_uri(image)}, {"number", pictures.size() + 1}});
    bytes += pictures.back()["picture"].get_ref<const std::string&>().size();
    if (bytes > kMostFilterBytes) break;
  }
  const Shape& shape = first->shape;
  const bool some = pictures.size() < first->count;
  return {{"text", fmt::format("{}: {} filters of {}x{}{}", first->layer, first->count, shape.h, shape.w,
                               some ? fmt::format(", the first {} of them", pictures.size()) : "")},
          {"colours", shape.c == 3 ? "red, green and blue as in the images, grey is zero"
                                   : "blue is negative, white zero, orange positive"},
          {"pictures", pictures}};
}

// How training changed its images; null if it did not, or if there are none.
ordered_json augmented_json(const data::Dataset& dataset, const SavedNetwork& saved) {
  constexpr std::size_t kMostRows = 10;
  const Augmentation& augmentation = saved.spec.recipe.input.augmentation;
  if (!augmentation.any() || dataset.train.count() == 0) return nullptr;
  return {{"text", fmt::format("{}", fmt::join(augmentation_lines(augmentation), "; "))},
          {"picture", data_uri(data_sheet(dataset, augmentation, saved.settings.seed, kMostRows))}};
}

void test_network(const Environment& environment, const InferenceOptions& options,
                  std::size_t most_picture_bytes, TrainedNetwork& trained, ExaminedNetwork& examined) {
  try {
    const data::Dataset dataset = matching_test_data(environment, options, trained.saved());
    examined.data_path = dataset.path.string();
    examined.other_data = dataset.fingerprint != trained.saved().fingerprint;
    examined.augmented = augmented_json(dataset, trained.saved());
    examined.test = answer_test_set(trained, dataset.test);
    examined.misclassified = misclassified_images(examined, dataset, most_picture_bytes);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    examined.test.reset();
    examined.test_problem = error.what();
  }
}

std::string percent_text(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}", 100 * fraction(part, whole));
}

// A correct prediction is the bluer, the larger its fraction of the label's images is. An error is the more orange, the closer its
// number is to the largest one; the square root keeps small numbers visible.
ordered_json matrix_cell(const TestAnswers& test, int label, int prediction, std::uint64_t most_errors) {
  const std::uint64_t images = test.at(label, prediction);
  if (images == 0) return {{"kind", "none"}, {"amount", "0"}, {"images", "·"}};
  const bool hit = label == prediction;
  const double amount =
      hit ? fraction(images, test.labelled(label)) : std::sqrt(fraction(images, most_errors));
  return {{"kind", hit ? "hit" : "miss"}, {"amount", fmt::format("{:.2f}", amount)}, {"images", images}};
}

ordered_json matrix_json(const ExaminedNetwork& network, std::uint64_t most_errors) {
  const TestAnswers& test = *network.test;
  ordered_json matrix{{"labels", network.label_names}};
  for (int label = 0; label < test.classes; ++label) {
    ordered_json row{{"label", name_of(network, label)}};
    for (int p = 0; p < test.classes; ++p) row["cells"].push_back(matrix_cell(test, label, p, most_errors));
    row["recall"] = percent_text(test.at(label, label), test.labelled(label));
    matrix["rows"].push_back(row);
    matrix["precisions"].push_back(percent_text(test.at(label, label), test.predicted(label)));
  }
  return matrix;
}

ordered_json pairs_json(const ExaminedNetwork& network, const std::vector<ConfusedPair>& pairs) {
  ordered_json rows = ordered_json::array();
  for (const ConfusedPair& pair : pairs)
    rows.push_back({{"label", name_of(network, pair.label)},
                    {"prediction", name_of(network, pair.prediction)},
                    {"images", grouped(pair.images)},
                    {"percent", percent_text(pair.images, network.test->labelled(pair.label))}});
  return {{"classes", network.test->classes}, {"rows", rows}};
}

ordered_json misclassified_json(const ExaminedNetwork& network) {
  const TestAnswers& test = *network.test;
  std::uint64_t errors = test.score.images;
  for (int c = 0; c < test.classes; ++c) errors -= test.at(c, c);
  if (errors == 0) return nullptr;
  const std::size_t shown = network.misclassified.size();
  return {{"errors", grouped(errors)},
          {"images", grouped(test.score.images)},
          {"which", shown == errors ? "all of them" : fmt::format("the {} surest errors", shown)},
          {"pictures", network.misclassified}};
}

ordered_json test_json(const ExaminedNetwork& network) {
  if (!network.test) return nullptr;
  constexpr int kMostMatrixClasses = 20;
  constexpr std::size_t kMostPairs = 20, kMostTold = 3;
  const bool fits = network.test->classes <= kMostMatrixClasses;
  const std::vector<ConfusedPair> pairs = confused_pairs(*network.test, kMostPairs);
  std::vector<std::string> most_often;  // "4 taken for 9 (5)"
  for (std::size_t i = 0; i < std::min(pairs.size(), kMostTold); ++i)
    most_often.push_back(fmt::format("{} taken for {} ({})", name_of(network, pairs[i].label),
                                     name_of(network, pairs[i].prediction), pairs[i].images));
  return {{"conditions", network.conditions},
          {"data_path", network.data_path},
          {"score", score_text(network.test->score)},
          {"loss", fmt::format("{:.4f}", network.test->score.loss)},
          {"other_data", network.other_data},
          {"most_often", fmt::format("{}", fmt::join(most_often, ", "))},
          {"matrix", fits ? matrix_json(network, pairs.empty() ? 1 : pairs.front().images) : nullptr},
          {"pairs", fits ? nullptr : pairs_json(network, pairs)},
          {"misclassified", misclassified_json(network)}};
}

}  // namespace

ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run, InferenceOptions options,
                                std::size_t most_picture_bytes) {
  options.run = run.folder.string();
  ExaminedNetwork examined, missing;
  try {
    TrainedNetwork trained(environment, options, kBatch);
    examined.conditions = fmt::format("on the {} in {}", trained.device_name(), trained.precision());
    for (int c = 0; c < trained.saved().classes; ++c) examined.label_names.push_back(trained.label_name(c));
    examined.filters = filters_json(trained.network());
    test_network(environment, options, most_picture_bytes, trained, examined);
    return examined;
  } catch (const FileError& error) {
    missing.problem = error.what();
  } catch (const SpecError& error) {
    missing.problem = error.what();
  } catch (const BackendError& error) {
    if (options.device.device != "auto") throw;
    missing.problem = error.what();
  }
  return missing;
}

std::vector<ConfusedPair> confused_pairs(const TestAnswers& test, std::size_t most) {
  std::vector<ConfusedPair> pairs;
  for (int label = 0; label < test.classes; ++label) {
    for (int prediction = 0; prediction < test.classes; ++prediction) {
      const std::uint64_t images = test.at(label, prediction);
      if (label != prediction && images > 0) pairs.push_back({label, prediction, images});
    }
  }
  std::ranges::stable_sort(pairs, std::greater(), &ConfusedPair::images);
  if (pairs.size() > most) pairs.resize(most);
  return pairs;
}

std::string score_text(const Score& score) {
  if (score.images == 0) return fmt::format("{:.2f} %", 100 * score.accuracy);
  return fmt::format("{:.2f} ± {:.2f} %", 100 * score.accuracy, 100 * score.standard_error());
}

ordered_json network_json(const ExaminedNetwork& network) {
  const bool tested = network.test || !network.problem.empty();
  return {{"problem", network.problem},
          {"untested", tested ? ordered_json(nullptr) : ordered_json{{"reason", network.test_problem}}},
          {"test", test_json(network)},
          {"augmented", network.augmented},
          {"filters", network.filters}};
}

std::string data_uri(const data::Image& image) {
  const std::vector<std::uint8_t> file = data::png_file(image);
  std::string base64((file.size() + 2) / 3 * 4 + 1, '\0');  // with room for the zero that libcrypto appends
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), file.data(),
                  static_cast<int>(file.size()));
  base64.pop_back();
  return "data:image/png;base64," + base64;
}

}  // namespace trainer
