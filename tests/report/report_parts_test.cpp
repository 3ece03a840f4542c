// The parts of a run's page: text that is safe, pictures that come back, tables that say what is there.
#include <gtest/gtest.h>
#include <limits>

#include "data/image.hpp"
#include "tests/runs/made_up_runs.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/report/report_network.hpp"
#include "trainer/report/report_page.hpp"

namespace trainer {
namespace {

using test::count_of;

TEST(HtmlTemplate, PutsValuesIntoItsSections) {
  const nlohmann::ordered_json values{{"name", "<a>"},
                                      {"count", 3},
                                      {"none", nullptr},
                                      {"off", false},
                                      {"empty", ""},
                                      {"list", {"x", "&"}},
                                      {"rows", {{{"name", "one"}}, {{"cells", {1, 2}}}}}};
  const auto filled = [&](const char* text) { return filled_template(text, values); };
  EXPECT_EQ(filled("{{name}} {{count}}{{none}}{{missing}}"), "&lt;a&gt; 3");
  EXPECT_EQ(filled("{{#list}}({{.}}){{/list}}"), "(x)(&amp;)");
  EXPECT_EQ(filled("{{#rows}}{{name}}:{{#cells}}{{.}},{{/cells}};{{/rows}}"), "one:;&lt;a&gt;:1,2,;")
      << "a name that a section lacks is looked up around it";
  EXPECT_EQ(filled("{{#count}}yes{{/count}}{{^count}}no{{/count}}"), "yes");
  for (const char* text :
       {"{{#none}}yes{{/none}}{{^none}}no{{/none}}", "{{#off}}yes{{/off}}{{^off}}no{{/off}}",
        "{{#empty}}yes{{/empty}}{{^empty}}no{{/empty}}", "{{#lost}}yes{{/lost}}{{^lost}}no{{/lost}}"})
    EXPECT_EQ(filled(text), "no") << text;
  EXPECT_EQ(filled("{{! a\ncomment }}\n{{<part}}\n[{{.}}]{{/part}}\n{{#list}}\n{{>part}}\n{{/list}}\nend"),
            "[x][&amp;]end");
}

TEST(HtmlTemplate, TakesNoTagFromAValue) {
  EXPECT_EQ(filled_template("{{a}}{{b}}", {{"a", "{{b}}{{#b}}"}, {"b", "x"}}), "{{b}}{{#b}}x");
}

TEST(ReportHtml, EscapesWhatHasAMeaning) {
  EXPECT_EQ(escaped("<script>alert('a' & \"b\")</script>"),
            "&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;");
  EXPECT_EQ(escaped("a\x01z\x7f\n"), "a\xef\xbf\xbdz\xef\xbf\xbd\n");
  EXPECT_EQ(escaped("a\xffz\xc3"), "a\xef\xbf\xbdz\xef\xbf\xbd");
  EXPECT_EQ(escaped("\xc3\xa4\xe6\xbc\xa2"), "\xc3\xa4\xe6\xbc\xa2");
  EXPECT_EQ(escaped(""), "");
}

TEST(ReportHtml, CarriesPicturesInBase64) {
  data::Image image{1, 1, 1, {7}};
  for (int width = 1; width < 8; ++width) {
    image = {1, width, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(width), 9)};
    const std::string uri = data_uri(image);
    EXPECT_TRUE(uri.starts_with("data:image/png;base64,iVBORw0KGgo"));
    EXPECT_EQ((uri.size() - std::string("data:image/png;base64,").size()) % 4, 0U);
    EXPECT_EQ(uri.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", 22),
              std::string::npos);
  }
}

TEST(Png, ComesBackAsItWas) {
  const test::TemporaryFolder folder;
  for (int channels = 1; channels <= 4; ++channels) {
    data::Image image{5, 7, channels, {}};
    for (int i = 0; i < 5 * 7 * channels; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 37));
    const data::Image read = data::read_image(folder.write("a.png", data::png_file(image)));
    EXPECT_EQ(read.height, 5);
    EXPECT_EQ(read.width, 7);
    EXPECT_EQ(read.channels, channels);
    EXPECT_EQ(read.pixels, image.pixels);
  }
  const data::Image flat{600, 500, 1, std::vector<std::uint8_t>(300'000, 200)};
  const std::vector<std::uint8_t> file = data::png_file(flat);
  EXPECT_LT(file.size(), 5000U) << "compressed";
  EXPECT_EQ(data::read_image(folder.write("b.png", file)).pixels, flat.pixels);
}

TEST(ReportPictures, ShowGreyColourAndLargeImages) {
  const std::vector<std::uint8_t> pixels{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
  EXPECT_EQ(shown_image(pixels, {3, 4, 1}).pixels, pixels);
  EXPECT_EQ(shown_image(pixels, {2, 2, 3}).pixels, pixels);
  EXPECT_EQ(shown_image(pixels, {2, 3, 2}).pixels, (std::vector<std::uint8_t>{10, 30, 50, 70, 90, 110}));
  EXPECT_EQ(shown_image(pixels, {1, 3, 4}).pixels,
            (std::vector<std::uint8_t>{10, 20, 30, 50, 60, 70, 90, 100, 110}));
  const std::vector<std::uint8_t> large(std::size_t{256} * 1000, 77);
  const data::Image shrunk = shown_image(large, {256, 1000, 1});
  EXPECT_EQ(shrunk.width, kLargestShownEdge);
  EXPECT_EQ(shrunk.height, 16);
  EXPECT_EQ(shrunk.pixels, std::vector<std::uint8_t>(std::size_t{16} * kLargestShownEdge, 77));
  EXPECT_EQ(shown_image(large, {256000, 1, 1}).width, 1);
}

TEST(ReportPictures, ColourWeightsByTheirSignOnOneScale) {
  const std::vector<data::Image> pictures = weight_pictures(std::vector<float>{0, 2, -2, 1}, {1, 2, 1}, 64);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_EQ(pictures[0].pixels, (std::vector<std::uint8_t>{255, 255, 255, 213, 94, 0}));
  EXPECT_EQ(pictures[1].pixels[2], 181);
  EXPECT_EQ(pictures[1].pixels[5], 128) << "half as strong";
  EXPECT_EQ(weight_pictures(std::vector<float>(100, 0), {1, 1, 1}, 64).size(), 64U);
  EXPECT_EQ(weight_pictures(std::vector<float>{1, 0, -1}, {1, 1, 3}, 64).at(0).pixels,
            (std::vector<std::uint8_t>{255, 128, 0}));
}

std::string page_with(const ExaminedNetwork& network) {
  const std::string html = report_html({{test::made_up_run(2)}, {network}});
  EXPECT_EQ(test::nesting_fault(html), "");
  return html;
}

TEST(ReportTestSet, SortsTheMostConfusedPairs) {
  const ExaminedNetwork network = test::made_up_network(5);
  const std::vector<ConfusedPair> pairs = confused_pairs(*network.test, 3);
  ASSERT_EQ(pairs.size(), 3U);
  EXPECT_EQ(pairs[0].label, 4);
  EXPECT_EQ(pairs[0].prediction, 0);
  EXPECT_EQ(pairs[0].images, 4U);
  EXPECT_EQ(pairs[2].label, 2);
  EXPECT_EQ(confused_pairs(*network.test, 100).size(), 4U) << "label 0 is never taken for another";
}

TEST(ReportTestSet, ShowsAMatrixWhereItFitsElsePairs) {
  const std::string matrix = page_with(test::made_up_network(10));
  EXPECT_EQ(count_of(matrix, "class=\"hit\""), 10U);
  EXPECT_EQ(count_of(matrix, "class=\"miss\""), 9U);
  EXPECT_EQ(count_of(matrix, ">name3<"), 2U) << "its row and its column";
  EXPECT_NE(matrix.find("<p>Most often: name9 taken for name0 (9), name8 taken for name9 (8)"),
            std::string::npos);
  for (const int classes : {26, 256}) {
    const std::string pairs = page_with(test::made_up_network(classes));
    EXPECT_EQ(count_of(pairs, "class=\"hit\""), 0U);
    EXPECT_EQ(count_of(pairs, "<tr><td>name"), 20U);
  }
}

TEST(ReportTestSet, SaysWhatIsWrongHowManyAndOfWhat) {
  ExaminedNetwork network = test::made_up_network(3);
  network.misclassified.push_back({{"picture", "data:image/png;base64,AAAA"},
                                   {"index", 7},
                                   {"label", "name1"},
                                   {"prediction", "name2"},
                                   {"confidence", "98.76"}});
  network.filters = {{"text", "conv1: 2 filters of 1x1"}, {"colours", "blue is negative"}};
  network.filters["pictures"].push_back({{"picture", "data:image/png;base64,BBBB"}, {"number", 1}});
  network.other_data = true;
  const std::string html = page_with(network);
  for (const char* part : {"<p>3 of 6 test images; the 1 surest errors with label",
                           "title=\"test image 7: name1 taken for name2, 98.76 % sure\"",
                           "<b>name1 → name2</b> <span>98.76 %</span>", "src=\"data:image/png;base64,AAAA\"",
                           "conv1: 2 filters of 1x1; blue is negative",
                           "src=\"data:image/png;base64,BBBB\" alt=\"filter 1\"", "These are other data"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  network = test::made_up_network(1);
  EXPECT_NE(page_with(network).find("None: every test image got its label."), std::string::npos);
  network.test.reset();
  network.test_problem = "no <data>";
  EXPECT_NE(page_with(network).find("The network was not tested: no &lt;data&gt;"), std::string::npos);
}

TEST(ReportValues, FlattenWithUnits) {
  const auto json = nlohmann::ordered_json::parse(
      R"({"test":{"accuracy":0.98764,"images":10000},"peak_memory_bytes":93663232,"energy_joules":12.34,
          "epoch_seconds":{"median":1.5,"epochs":3},"nothing":null,"list":[1,{"a":2}],"empty":{},"on":true})");
  std::string text;
  const nlohmann::ordered_json values = values_of(json);
  for (const auto& [name, value] : values.items()) text += name + "=" + value.get<std::string>() + "\n";
  EXPECT_EQ(text,
            "test.accuracy=98.76 %\ntest.images=10,000\npeak_memory_bytes=89.32 MiB\nenergy_joules=12.3 J\n"
            "epoch_seconds.median=1.50 "
            "s\nepoch_seconds.epochs=3\nnothing=none\nlist=1, a 2\nempty=none\non=yes\n");
  nlohmann::ordered_json many;
  for (int i = 0; i < 5000; ++i) many[std::to_string(i)] = i;
  EXPECT_EQ(values_of(many).size(), kMostReportValues);
}

TEST(ReportValues, WriteTimesForPeople) {
  EXPECT_EQ(time_text("2026-01-01T09:30:00+01:00"), "2026-01-01 09:30:00 +01:00");
  EXPECT_EQ(time_text("some day"), "some day");
  EXPECT_EQ(time_text(""), "");
}

TEST(ReportPage, HoldsHostileTextAsText) {
  KnownRun run = test::made_up_run(2);
  const std::string evil = "<script>alert(1)</script>\"'<img src=x onerror=y>";
  run.id = run.record.model = run.record.reason = run.record.spec_text = run.record.started = evil;
  run.record.status = RunStatus::kFailed;
  run.record.command = {evil};
  run.record.data.path = run.record.data.fingerprint = run.record.commit = evil;
  run.record.device = {{"name", evil}, {"kind", evil}, {"report", evil}};
  run.record.results = {{evil, evil}};
  run.record.recipe = {{evil, {{evil, evil}}}};
  run.record.machine = {{"host", evil}};
  run.record.versions = evil;
  ExaminedNetwork network = test::made_up_network(3);
  network.label_names.assign(3, evil);
  network.conditions = network.data_path = evil;
  network.filters = {{"text", evil}, {"colours", evil}};
  for (const std::size_t runs : {1U, 3U}) {
    const std::string html = report_html({std::vector<KnownRun>(runs, run), {network}});
    EXPECT_EQ(html.find("<script"), std::string::npos);
    EXPECT_EQ(html.find("<img src=x"), std::string::npos);
    EXPECT_EQ(test::nesting_fault(html), "");
  }
}

TEST(ReportPage, KeepsItsSizeOverAThousandEpochsAndNamesALossThatIsNotFinite) {
  KnownRun run = test::made_up_run(1000);
  run.epochs.back().train_loss = std::numeric_limits<double>::quiet_NaN();
  run.epochs.back().test.loss = std::numeric_limits<double>::infinity();
  const std::string html = report_html({{run}, {}});
  EXPECT_LT(html.size(), 250'000U);
  EXPECT_NE(html.find("training: not finite at epoch 1000"), std::string::npos);
  EXPECT_NE(html.find("test: not finite at epoch 1000"), std::string::npos);
  EXPECT_EQ(test::nesting_fault(html), "");
}

TEST(ReportPage, NamesTheReasonOfATrainingThatFailed) {
  KnownRun run = test::made_up_run(0);
  run.record.status = RunStatus::kFailed;
  run.record.reason = "disk <full>";
  const std::string html = report_html({{run}, {}});
  EXPECT_NE(html.find("This training failed: disk &lt;full&gt;"), std::string::npos);
  EXPECT_NE(html.find("There are no curves"), std::string::npos);
}

TEST(ReportPage, TakesARecordWithoutItsParts) {
  KnownRun run = test::made_up_run(1);
  run.record.device = nullptr;
  run.record.recipe = 7;
  run.record.results = nlohmann::ordered_json::array();
  ExaminedNetwork network;
  network.problem = "it is gone";
  const std::string html = report_html({{run}, {network}});
  EXPECT_NE(html.find("it is gone"), std::string::npos);
  EXPECT_NE(html.find("The run recorded no device."), std::string::npos);
  EXPECT_EQ(test::nesting_fault(html), "");
}

}  // namespace
}  // namespace trainer
