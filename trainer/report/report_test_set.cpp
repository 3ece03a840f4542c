#include "trainer/report/report_test_set.hpp"

#include <cmath>
#include <fmt/format.h>

#include "models/recipe_text.hpp"
#include "trainer/report/report_html.hpp"
#include "trainer/report/report_values.hpp"

namespace trainer {

namespace {

const std::string& name_of(const ExaminedNetwork& network, int label) {
  return network.label_names.at(static_cast<std::size_t>(label));
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}", 100 * share(part, whole));
}

// Hits by their share of the label, in blue; errors by their number against the largest, in orange. The root
// keeps small numbers visible.
std::string cell(const TestAnswers& test, int label, int prediction, std::uint64_t most_errors) {
  const std::uint64_t images = test.at(label, prediction);
  if (images == 0) return "<td class=\"none\">·</td>";
  const bool hit = label == prediction;
  const double amount = hit ? share(images, test.labelled(label)) : std::sqrt(share(images, most_errors));
  return fmt::format("<td class=\"{}\" style=\"--a:{:.2f}\">{}</td>", hit ? "hit" : "miss", amount, images);
}

std::string matrix_head(const ExaminedNetwork& network) {
  std::string html = "<thead><tr><td></td>";
  for (int p = 0; p < network.test->classes; ++p)
    html += fmt::format("<th scope=\"col\">{}</th>", escaped(name_of(network, p)));
  return html + "<th scope=\"col\" class=\"sum\">recall %</th></tr></thead>\n";
}

std::string matrix_row(const ExaminedNetwork& network, int label, std::uint64_t most_errors) {
  const TestAnswers& test = *network.test;
  std::string html = fmt::format("<tr><th scope=\"row\">{}</th>", escaped(name_of(network, label)));
  for (int p = 0; p < test.classes; ++p) html += cell(test, label, p, most_errors);
  return html + fmt::format("<td class=\"sum\">{}</td></tr>\n",
                            percent(test.at(label, label), test.labelled(label)));
}

std::string precision_row(const TestAnswers& test) {
  std::string html = "<tfoot><tr><th scope=\"row\">precision %</th>";
  for (int p = 0; p < test.classes; ++p)
    html += fmt::format("<td class=\"sum\">{}</td>", percent(test.at(p, p), test.predicted(p)));
  return html + "<td></td></tr></tfoot>\n";
}

std::string matrix(const ExaminedNetwork& network) {
  const TestAnswers& test = *network.test;
  const std::vector<ConfusedPair> most = confused_pairs(test, 1);
  std::string html = "<table class=\"confusion\">\n" + matrix_head(network) + "<tbody>\n";
  for (int label = 0; label < test.classes; ++label)
    html += matrix_row(network, label, most.empty() ? 1 : most.front().images);
  html += "</tbody>\n" + precision_row(test) + "</table>\n";
  return "<p class=\"note\">A row is a label, a column what the network took it for.</p>\n" +
         scrolling("Confusion matrix", html);
}

std::string pairs_table(const ExaminedNetwork& network) {
  constexpr std::size_t kMostPairs = 20;
  const TestAnswers& test = *network.test;
  std::string rows;
  for (const ConfusedPair& pair : confused_pairs(test, kMostPairs)) {
    rows += fmt::format(
        "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{} %</td></tr>\n",
        escaped(name_of(network, pair.label)), escaped(name_of(network, pair.prediction)),
        grouped(pair.images), percent(pair.images, test.labelled(pair.label)));
  }
  return fmt::format(
             "<p class=\"note\">The matrix of {} classes would not fit: its most frequent errors.</p>\n",
             test.classes) +
         scrolling("Most confused classes",
                   "<table class=\"values\">\n<thead><tr><th scope=\"col\">label</th><th scope=\"col\">taken "
                   "for</th><th scope=\"col\" class=\"number\">images</th><th scope=\"col\" "
                   "class=\"number\">of the label</th></tr></thead>\n<tbody>\n" +
                       rows + "</tbody></table>\n");
}

// "Most often: 4 taken for 9 (5 times), ..."
std::string most_often(const ExaminedNetwork& network) {
  std::string text;
  for (const ConfusedPair& pair : confused_pairs(*network.test, 3)) {
    text += fmt::format("{}{} taken for {} ({})", text.empty() ? "Most often: " : ", ",
                        name_of(network, pair.label), name_of(network, pair.prediction), pair.images);
  }
  return text.empty() ? "" : fmt::format("<p>{}.</p>\n", escaped(text));
}

std::string picture(const ExaminedNetwork& network, const MisclassifiedImage& image) {
  const std::string label = escaped(name_of(network, image.label));
  const std::string prediction = escaped(name_of(network, image.prediction));
  const double confidence = 100 * static_cast<double>(image.confidence);
  return fmt::format(
      "<li><figure><img src=\"{}\" alt=\"test image {}\" title=\"test image {}: {} taken for {}, {:.2f} % "
      "sure\"><figcaption><b>{} → {}</b> <span>{:.1f} %</span></figcaption></figure></li>\n",
      image.picture, image.index, image.index, label, prediction, confidence, label, prediction, confidence);
}

std::string misclassified_part(const ExaminedNetwork& network) {
  const TestAnswers& test = *network.test;
  std::uint64_t hits = 0;
  for (int c = 0; c < test.classes; ++c) hits += test.at(c, c);
  const std::uint64_t errors = test.score.images - hits;
  std::string html = "<h3>Misclassified images</h3>\n";
  if (errors == 0) return html + "<p>None: every test image got its label.</p>\n";
  const std::size_t shown = network.misclassified.size();
  html += fmt::format(
      "<p>{} of {} test images; {} with label → prediction and the network's confidence in it, surest "
      "first.</p>\n",
      grouped(errors), grouped(test.score.images),
      shown == errors ? "all of them" : fmt::format("the {} surest errors", shown));
  html += "<ul class=\"pictures\">\n";
  for (const MisclassifiedImage& image : network.misclassified) html += picture(network, image);
  return html + "</ul>\n";
}

std::string filters_part(const ExaminedNetwork& network) {
  const ExaminedNetwork::Filters& filters = network.filters;
  std::string html = "<h3>First-layer filters</h3>\n";
  if (filters.pictures.empty()) return html + missing_part("No layer of this network lies over the pixels.");
  html += fmt::format("<p>{}{}; {}, on one scale for all.</p>\n", escaped(filters.text),
                      filters.pictures.size() < filters.count
                          ? fmt::format(", the first {} of them", filters.pictures.size())
                          : "",
                      filters.coloured ? "red, green and blue as in the images, grey is zero"
                                       : "blue is negative, white zero, orange positive");
  html += "<ul class=\"filters\">\n";
  for (std::size_t i = 0; i < filters.pictures.size(); ++i)
    html += fmt::format("<li><img src=\"{}\" alt=\"filter {}\"></li>\n", filters.pictures[i], i + 1);
  return html + "</ul>\n";
}

std::string test_summary(const ExaminedNetwork& network) {
  std::string html =
      fmt::format("<p>Tested for this page {} on {}: {}, loss {:.4f}.{}</p>\n", escaped(network.conditions),
                  escaped(network.data_path), score_text(network.test->score), network.test->score.loss,
                  network.other_data ? " <strong>These are other data than the network was "
                                       "trained on.</strong>"
                                     : "");
  return html;
}

}  // namespace

std::string confusion_part(const ExaminedNetwork& network) {
  const bool fits = network.test->classes <= kMostMatrixClasses;
  return "<h3>Confusion matrix</h3>\n" + most_often(network) +
         (fits ? matrix(network) : pairs_table(network));
}

std::string network_parts(const ExaminedNetwork& network) {
  if (!network.problem.empty()) return missing_part("There is no network to look into: " + network.problem);
  std::string html;
  if (!network.test)
    html += "<h3>Confusion matrix and misclassified images</h3>\n" +
            missing_part("The network was not tested: " + network.test_problem);
  else
    html += test_summary(network) + confusion_part(network) + misclassified_part(network);
  return html + filters_part(network);
}

}  // namespace trainer
