#include "trainer/report/report_page.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

#include "trainer/report/report_curves.hpp"
#include "trainer/report/report_head.hpp"
#include "trainer/report/report_html.hpp"
#include "trainer/report/report_style.hpp"
#include "trainer/report/report_test_set.hpp"
#include "trainer/report/report_values.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

namespace {

// The report as the run printed it; what its values were, where an earlier program did not keep the text.
std::string device_text(const KnownRun& run) {
  const nlohmann::ordered_json& device = run.record.device;
  if (device.is_object() && device.contains("report") && device.at("report").is_string())
    return device.at("report").get<std::string>();
  std::string text;
  for (const ReportValue& value : values_of(device))
    text += fmt::format("{:<21} {}\n", value.key, value.text);
  return text.empty() ? "The run recorded no device.\n" : text;
}

// "A", "A, C", or nothing where there is only one run.
std::string letters_of(const std::vector<std::size_t>& indices, std::size_t runs) {
  std::string text;
  if (runs > 1)
    for (const std::size_t i : indices) text += (text.empty() ? "" : ", ") + letter_of(i);
  return text;
}

// Runs on the same machine share a block.
std::string device_part(const std::vector<KnownRun>& runs) {
  std::vector<std::pair<std::string, std::vector<std::size_t>>> blocks;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string text = device_text(runs[i]);
    const auto same = std::ranges::find_if(blocks, [&](const auto& block) { return block.first == text; });
    if (same == blocks.end())
      blocks.push_back({text, {i}});
    else
      same->second.push_back(i);
  }
  std::string html = "<h2>Device</h2>\n";
  for (const auto& [text, indices] : blocks) {
    if (runs.size() > 1) html += fmt::format("<h3>{}</h3>\n", letters_of(indices, runs.size()));
    html += fmt::format("<pre>{}</pre>\n", escaped(text));
  }
  return html;
}

// A key may be broken at its joints.
std::string breakable(const std::string& key) {
  std::string html;
  for (const char c : escaped(key)) {
    html += c;
    if (c == '.' || c == '_') html += "<wbr>";
  }
  return html;
}

std::string value_table(const std::string& name, const std::vector<ValueRow>& rows, std::size_t runs) {
  std::string html = "<table class=\"values\">\n";
  if (runs > 1) {
    html += "<thead><tr><td></td>";
    for (std::size_t i = 0; i < runs; ++i) html += fmt::format("<th scope=\"col\">{}</th>", letter_of(i));
    html += "</tr></thead>\n";
  }
  html += "<tbody>\n";
  for (const ValueRow& row : rows) {
    html += fmt::format("<tr><th scope=\"row\"><code>{}</code></th>", breakable(row.key));
    for (const std::string& text : row.texts) html += fmt::format("<td>{}</td>", escaped(text));
    html += "</tr>\n";
  }
  return scrolling(name, html + "</tbody></table>\n");
}

std::string differences(const std::vector<ValueRow>& rows, std::size_t runs) {
  std::vector<ValueRow> different;
  std::ranges::copy_if(rows, std::back_inserter(different), &ValueRow::differs);
  if (different.empty()) return "<p>These runs have the same configuration.</p>\n";
  return "<h3>What differs</h3>\n" + value_table("What differs", different, runs);
}

std::string configuration_part(const std::vector<KnownRun>& runs) {
  std::vector<std::vector<ReportValue>> values;
  values.reserve(runs.size());
  for (const KnownRun& run : runs) values.push_back(configuration_values(run));
  const std::vector<ValueRow> rows = side_by_side(values);
  std::string html = "<h2>Configuration</h2>\n";
  if (runs.size() > 1) html += differences(rows, runs.size());
  return html + fmt::format("<details{}><summary>Everything, as in run.json</summary>\n{}</details>\n",
                            runs.size() == 1 ? " open" : "", value_table("Configuration", rows, runs.size()));
}

std::string results_part(const std::vector<KnownRun>& runs) {
  std::vector<std::vector<ReportValue>> values;
  values.reserve(runs.size());
  for (const KnownRun& run : runs) values.push_back(result_values(run));
  return "<h2>All results</h2>\n" + value_table("All results", side_by_side(values), runs.size());
}

std::string again_part(const std::vector<KnownRun>& runs) {
  std::string html = "<h2>Commands and networks</h2>\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& record = runs[i].record;
    std::string command;
    for (const std::string& word : record.command) command += (command.empty() ? "" : " ") + word;
    if (runs.size() > 1) html += fmt::format("<h3>{}</h3>\n", letter_of(i));
    html += fmt::format(
        "<pre>{}</pre>\n<details><summary>The network's file, {}</summary>\n<pre>{}</pre></details>\n",
        escaped(command), escaped(record.model), escaped(record.spec_text));
  }
  return html;
}

std::string networks_part(const ReportPage& page) {
  std::string html;
  const bool several = page.runs.size() > 1;
  for (std::size_t i = 0; i < page.networks.size(); ++i) {
    const std::string title =
        several ? fmt::format("Network {}: {}", letter_of(i), page.runs[i].record.model) : "On the test set";
    const std::string parts = network_parts(page.networks[i]);
    html += i == 0 ? fmt::format("<section>\n<h2>{}</h2>\n{}</section>\n", escaped(title), parts)
                   : fmt::format("<details><summary><h2>{}</h2></summary>\n{}</details>\n", escaped(title),
                                 parts);
  }
  if (page.networks.size() < page.runs.size())
    html += fmt::format(
        "<p class=\"note\">Networks of the first {} runs; a page of their own shows the others.</p>\n",
        page.networks.size());
  return html;
}

std::string page_start(const std::string& title) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light "
      "dark\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n",
      escaped(title), kReportStyle);
}

}  // namespace

std::string report_html(const ReportPage& page) {
  std::string html = page_start(report_title(page.runs)) + report_head(page.runs) + "<main>\n";
  html += "<h2>Training</h2>\n" + training_curves(page.runs);
  html += networks_part(page);
  html += device_part(page.runs) + results_part(page.runs);
  html += configuration_part(page.runs) + again_part(page.runs);
  return html + fmt::format("</main>\n<footer><p>Written by trainer {} {}.</p></footer>\n</body>\n</html>\n",
                            escaped(kVersion), escaped(kCommit));
}

}  // namespace trainer
