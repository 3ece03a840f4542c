#include "trainer/report/report_network.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <fmt/format.h>
#include <functional>
#include <new>
#include <numeric>
#include <openssl/evp.h>
#include <variant>

#include "data/image.hpp"
#include "kernels/precision.hpp"
#include "models/words.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr int kBatch = 256;
constexpr std::size_t kMostMisclassified = 100, kMostFilters = 64, kMostFilterBytes = 60'000;

std::uint8_t byte_of(float value) {
  return value > 0 ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : std::uint8_t{0};
}

// -1 is blue, 0 white, 1 orange: colour-blind readers can tell these apart, and small values are light.
std::array<float, 3> diverging(float value) {
  constexpr std::array<float, 3> kNegative{0, 90, 181}, kPositive{213, 94, 0};
  std::array<float, 3> colour = value < 0 ? kNegative : kPositive;
  for (float& part : colour) part = 255 + std::min(std::abs(value), 1.0F) * (part - 255);
  return colour;
}

// The misclassified images, the most confident first.
std::vector<std::size_t> by_confidence(const TestAnswers& test, const std::vector<std::uint8_t>& labels) {
  std::vector<std::size_t> wrong;
  for (std::size_t n = 0; n < labels.size(); ++n)
    if (test.predictions[n] != labels[n]) wrong.push_back(n);
  const auto confidence = [&](std::size_t n) {
    return std::isfinite(test.confidences[n]) ? test.confidences[n] : -1.0F;
  };
  std::ranges::stable_sort(wrong, std::greater(), confidence);
  return wrong;
}

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

// The first layer's weights, if they are applied to pixels: [out, k, k, c], or [out, h * w * c] for the whole image. Else null.
ordered_json first_filters(const Network& network) {
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena != 0 || tensor.parameter != 0) continue;
    const PlannedOp& op = network.plan().ops[static_cast<std::size_t>(tensor.op)];
    if (std::holds_alternative<BatchNormDesc>(op.desc)) continue;
    const Shape& input = network.plan().input.image;
    const bool conv = tensor.shape.size() == 4;
    if (!conv && tensor.shape.at(1) != input.h * input.w * input.c) return nullptr;
    const Shape shape = conv ? Shape{tensor.shape.at(1), tensor.shape.at(2), tensor.shape.at(3)}
                             : Shape{input.h, input.w, input.c};
    ordered_json pictures = ordered_json::array();
    std::size_t bytes = 0;
    for (const data::Image& image : weight_pictures(network.read(tensor), shape, kMostFilters)) {
      pictures.push_back({{"picture", data_uri(image)}, {"number", pictures.size() + 1}});
      bytes += pictures.back()["picture"].get_ref<const std::string&>().size();
      if (bytes > kMostFilterBytes) break;
    }
    const auto count = static_cast<std::size_t>(tensor.shape.at(0));
    const bool some = pictures.size() < count;
    return {{"text", fmt::format("{}: {} filters of {}x{}{}", op.name, count, shape.h, shape.w,
                                 some ? fmt::format(", the first {} of them", pictures.size()) : "")},
            {"colours", shape.c == 3 ? "red, green and blue as in the images, grey is zero"
                                     : "blue is negative, white zero, orange positive"},
            {"pictures", pictures}};
  }
  return nullptr;
}

void test_network(const Environment& environment, const InferenceOptions& options,
                  std::size_t most_picture_bytes, TrainedNetwork& trained, ExaminedNetwork& examined) {
  try {
    const data::Dataset dataset = matching_test_data(environment, options, trained.saved());
    examined.data_path = dataset.path.string();
    examined.other_data = dataset.fingerprint != trained.saved().fingerprint;
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
    examined.filters = first_filters(trained.network());
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

data::Image shown_image(std::span<const std::uint8_t> pixels, const Shape& shape) {
  const int longest = std::max({shape.h, shape.w, kLargestShownEdge});
  const auto shrunk = [&](int size) { return std::max(1, size * kLargestShownEdge / longest); };
  data::Image image{shrunk(shape.h), shrunk(shape.w), shape.c >= 3 ? 3 : 1, {}};
  const auto mean = [&](int y, int x, int channel) {  // over the pixels that become this one
    const int bottom = (y + 1) * shape.h / image.height, right = (x + 1) * shape.w / image.width;
    std::size_t sum = 0, count = 0;
    for (int row = y * shape.h / image.height; row < bottom; ++row) {
      for (int column = x * shape.w / image.width; column < right; ++column, ++count)
        sum += pixels[(static_cast<std::size_t>(row) * shape.w + column) * shape.c + channel];
    }
    return static_cast<std::uint8_t>((sum + count / 2) / count);
  };
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      for (int channel = 0; channel < image.channels; ++channel) image.pixels.push_back(mean(y, x, channel));
  return image;
}

std::vector<data::Image> weight_pictures(std::span<const float> weights, const Shape& shape,
                                         std::size_t most) {
  const auto channels = static_cast<std::size_t>(shape.c);
  const bool coloured = channels == 3;
  std::vector<float> drawn;  // the three channels of each pixel, or the sum of its channels
  for (std::size_t at = 0; at + channels <= weights.size(); at += channels) {
    const std::span<const float> pixel = weights.subspan(at, channels);
    if (coloured) drawn.insert(drawn.end(), pixel.begin(), pixel.end());
    if (!coloured) drawn.push_back(std::accumulate(pixel.begin(), pixel.end(), 0.0F));
  }
  float largest = 0;
  for (const float value : drawn) largest = std::max(largest, std::abs(value));
  if (!(largest > 0) || !std::isfinite(largest)) largest = 1;
  const std::size_t size = shape.size() / (coloured ? 1 : channels);
  std::vector<data::Image> pictures;
  for (std::size_t at = 0; at + size <= drawn.size() && pictures.size() < most; at += size) {
    data::Image& picture = pictures.emplace_back(data::Image{shape.h, shape.w, 3, {}});
    for (const float value : std::span(drawn).subspan(at, size)) {
      if (coloured) picture.pixels.push_back(byte_of(127.5F + 127.5F * value / largest));
      if (coloured) continue;
      for (const float part : diverging(value / largest)) picture.pixels.push_back(byte_of(part));
    }
  }
  return pictures;
}

}  // namespace trainer
