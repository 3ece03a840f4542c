// What a network does on the test set, as the values of report.html.
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/report/report_network.hpp"
#include "trainer/report/report_values.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

const std::string& name_of(const ExaminedNetwork& network, int label) {
  return network.label_names.at(static_cast<std::size_t>(label));
}

std::string percent_text(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}", 100 * share(part, whole));
}

// Hits by their share of the label, in blue; errors by their number against the largest, in orange. The root keeps small
// numbers visible.
ordered_json cell(const TestAnswers& test, int label, int prediction, std::uint64_t most_errors) {
  const std::uint64_t images = test.at(label, prediction);
  if (images == 0) return {{"kind", "none"}, {"amount", "0"}, {"images", "·"}};
  const bool hit = label == prediction;
  const double amount = hit ? share(images, test.labelled(label)) : std::sqrt(share(images, most_errors));
  return {{"kind", hit ? "hit" : "miss"}, {"amount", fmt::format("{:.2f}", amount)}, {"images", images}};
}

ordered_json matrix(const ExaminedNetwork& network) {
  const TestAnswers& test = *network.test;
  const std::vector<ConfusedPair> most = confused_pairs(test, 1);
  ordered_json matrix{{"labels", network.label_names}};
  for (int label = 0; label < test.classes; ++label) {
    ordered_json row{{"label", name_of(network, label)}};
    for (int p = 0; p < test.classes; ++p)
      row["cells"].push_back(cell(test, label, p, most.empty() ? 1 : most.front().images));
    row["recall"] = percent_text(test.at(label, label), test.labelled(label));
    matrix["rows"].push_back(row);
    matrix["precisions"].push_back(percent_text(test.at(label, label), test.predicted(label)));
  }
  return matrix;
}

ordered_json pairs(const ExaminedNetwork& network) {
  constexpr std::size_t kMostPairs = 20;
  const TestAnswers& test = *network.test;
  ordered_json pairs{{"classes", test.classes}};
  for (const ConfusedPair& pair : confused_pairs(test, kMostPairs)) {
    pairs["rows"].push_back({{"label", name_of(network, pair.label)},
                             {"prediction", name_of(network, pair.prediction)},
                             {"images", grouped(pair.images)},
                             {"percent", percent_text(pair.images, test.labelled(pair.label))}});
  }
  return pairs;
}

// "4 taken for 9 (5), ..."
std::string most_often(const ExaminedNetwork& network) {
  std::string text;
  for (const ConfusedPair& pair : confused_pairs(*network.test, 3)) {
    text += fmt::format("{}{} taken for {} ({})", text.empty() ? "" : ", ", name_of(network, pair.label),
                        name_of(network, pair.prediction), pair.images);
  }
  return text;
}

ordered_json misclassified(const ExaminedNetwork& network) {
  const TestAnswers& test = *network.test;
  std::uint64_t errors = test.score.images;
  for (int c = 0; c < test.classes; ++c) errors -= test.at(c, c);
  if (errors == 0) return nullptr;
  const std::size_t shown = network.misclassified.size();
  ordered_json json{{"errors", grouped(errors)},
                    {"images", grouped(test.score.images)},
                    {"which", shown == errors ? "all of them" : fmt::format("the {} surest errors", shown)}};
  for (const MisclassifiedImage& image : network.misclassified) {
    const double confidence = 100 * static_cast<double>(image.confidence);
    json["pictures"].push_back({{"picture", image.picture},
                                {"index", image.index},
                                {"label", name_of(network, image.label)},
                                {"prediction", name_of(network, image.prediction)},
                                {"confidence", fmt::format("{:.2f}", confidence)},
                                {"rounded", fmt::format("{:.1f}", confidence)}});
  }
  return json;
}

ordered_json filters_json(const ExaminedNetwork::Filters& filters) {
  if (filters.pictures.empty()) return nullptr;
  const bool some = filters.pictures.size() < filters.count;
  ordered_json json{
      {"text", filters.text + (some ? fmt::format(", the first {} of them", filters.pictures.size()) : "")},
      {"colours", filters.coloured ? "red, green and blue as in the images, grey is zero"
                                   : "blue is negative, white zero, orange positive"}};
  for (std::size_t i = 0; i < filters.pictures.size(); ++i)
    json["pictures"].push_back({{"picture", filters.pictures[i]}, {"number", i + 1}});
  return json;
}

ordered_json test_json(const ExaminedNetwork& network) {
  if (!network.test) return nullptr;
  constexpr int kMostMatrixClasses = 20;
  const bool fits = network.test->classes <= kMostMatrixClasses;
  return {
      {"conditions", network.conditions},           {"data_path", network.data_path},
      {"score", score_text(network.test->score)},   {"loss", fmt::format("{:.4f}", network.test->score.loss)},
      {"other_data", network.other_data},           {"most_often", most_often(network)},
      {"matrix", fits ? matrix(network) : nullptr}, {"pairs", fits ? nullptr : pairs(network)},
      {"misclassified", misclassified(network)}};
}

}  // namespace

ordered_json network_json(const ExaminedNetwork& network) {
  const bool tested = network.test || !network.problem.empty();
  return {{"problem", network.problem},
          {"untested", tested ? ordered_json(nullptr) : ordered_json{{"reason", network.test_problem}}},
          {"test", test_json(network)},
          {"filters", filters_json(network.filters)}};
}

}  // namespace trainer
