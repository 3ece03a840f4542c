// What a package takes from the command line: manual pages and completion, tried in the shells themselves.
#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/support/child_process.hpp"
#include "tests/support/program.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/documents/manual_page.hpp"

namespace trainer::test {
namespace {

using Lines = std::vector<std::string>;

class Documents : public testing::Test {
 protected:
  Documents() : app_(make_app()), run_(add_commands(*app_, environment_)) {
    folder_.write("runs/20260101-093000-quick-1/run.json", "{}");
    folder_.write("runs/not-a-run/other", "");
    folder_.write("targets/my_dsvm.compute", "");
  }

  Outcome shell(const Lines& words) const {
    return ChildProcess(words, {{}, folder_.path().string()}).wait();
  }

  // What the shell offers where the last of `words` is being typed.
  Lines completed(const Lines& shell_words, const std::string& before, const Lines& words) const {
    const std::string program = TRAINER_BINARY;
    std::string line = before + "PATH='" + program.substr(0, program.rfind('/')) +
                       "':$PATH; . " TRAINER_SOURCE_DIR "/trainer/documents/completion.sh; COMP_WORDS=(";
    for (const std::string& word : words) line += " '" + word + "'";
    line += "); COMP_CWORD=" + std::to_string(words.size() - 1) + "; _trainer_complete trainer '" +
            words.back() + "' '" + words[words.size() - 2] + "'; printf '%s\\n' \"${COMPREPLY[@]}\"";
    Lines call = shell_words;
    call.push_back(line);
    const Outcome outcome = shell(call);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    Lines offered;
    std::istringstream lines(outcome.out);
    for (std::string text; std::getline(lines, text);)
      if (!text.empty()) offered.push_back(text);
    return offered;
  }
  Lines completed(const Lines& words) const { return completed({"/bin/bash", "--norc", "-c"}, "", words); }

  static bool has(const Lines& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }

  TemporaryFolder folder_;
  Environment environment_;
  std::unique_ptr<CLI::App> app_;
  std::function<int()> run_;
};

TEST_F(Documents, BashCompletesCommandsOptionsAndTheirValues) {
  EXPECT_EQ(completed({"trainer", "tr"}), Lines({"train"}));
  EXPECT_EQ(completed({"trainer", "train", "--epo"}), Lines({"--epochs"}));
  EXPECT_EQ(completed({"trainer", "train", "--model", "qu"}), Lines({"quick"}));
  EXPECT_EQ(completed({"trainer", "train", "--device", "c"}), Lines({"cpu", "cuda"}));
  EXPECT_EQ(completed({"trainer", "predict", "last", "--fit", ""}), Lines({"auto", "digit", "picture"}));
  EXPECT_EQ(completed({"trainer", "train", "--data", "ru"}), Lines({"runs"}));
  EXPECT_EQ(completed({"trainer", "train", "--seed", ""}), Lines()) << "a number is not guessed";
  EXPECT_EQ(completed({"trainer", "no-such", "--x"}), Lines());
  EXPECT_EQ(completed({"trainer", "train", "--quiet", "--see"}), Lines({"--seed"})) << "a flag has no value";
  EXPECT_EQ(completed({"trainer", "runs", "sho"}), Lines({"show"}));
  EXPECT_EQ(completed({"trainer", "target", "check", "my"}), Lines({"my_dsvm"}));
  EXPECT_EQ(completed({"trainer", "models", "qui"}), Lines({"quick"}));
  EXPECT_EQ(completed({"trainer", "train", "--model", "=", "qui"}), Lines({"quick"}));
}

TEST_F(Documents, BashCompletesRunsThatAreThere) {
  const Lines offered = completed({"trainer", "eval", ""});
  EXPECT_TRUE(has(offered, "last"));
  EXPECT_TRUE(has(offered, "20260101-093000-quick-1"));
  EXPECT_FALSE(has(offered, "not-a-run"));
  for (const char* command : {"watch", "delete"}) {
    EXPECT_EQ(completed({"trainer", "runs", std::string(command).substr(0, 3)}), Lines({command}));
    EXPECT_TRUE(has(completed({"trainer", "runs", command, ""}), "20260101-093000-quick-1"));
  }
  EXPECT_EQ(completed({"trainer", "train", "--resume", "2026"}), Lines({"20260101-093000-quick-1"}));
}

TEST_F(Documents, ZshCompletesTheSame) {
  if (shell({"/bin/sh", "-c", "command -v zsh"}).code != 0) GTEST_SKIP() << "no zsh here";
  const auto in_zsh = [&](const Lines& words) {
    return completed({"/bin/sh", "-c", "exec zsh -f -c \"$0\""}, "compdef() { :; }; emulate sh; ", words);
  };
  EXPECT_EQ(in_zsh({"trainer", "runs", "comp"}), Lines({"compare"}));
  EXPECT_EQ(in_zsh({"trainer", "train", "--epo"}), Lines({"--epochs"}));
  EXPECT_EQ(in_zsh({"trainer", "train", "--model=qui"}), Lines({"--model=quick"}));
  EXPECT_EQ(in_zsh({"trainer", "train", "--resume", "2026"}), Lines({"20260101-093000-quick-1"}));
}

void expect_every_page_whole(const CLI::App& command, const std::function<void(const std::string&)>& check) {
  const std::string page = manual_page(command, {"1.2.3", "2026-01-31"});
  EXPECT_TRUE(page.starts_with(".TH \"")) << page;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      std::string escaped = "\\-\\-";
      for (const char letter : name) escaped += letter == '-' ? std::string("\\-") : std::string(1, letter);
      EXPECT_PRED2(contains, page, escaped) << whole_name(command, ' ');
    }
  }
  check(page);
  for (const CLI::App* child : command.get_subcommands(nullptr)) expect_every_page_whole(*child, check);
}

TEST_F(Documents, EveryCommandHasAPageThatTroffReadsWithoutAWarning) {
  const bool troff = shell({"/bin/sh", "-c", "command -v groff"}).code == 0;
  int pages = 0;
  expect_every_page_whole(*app_, [&](const std::string& page) {
    ++pages;
    if (!troff) return;
    folder_.write("page.1", page);
    const Outcome outcome = shell({"/bin/sh", "-c", "groff -man -ww -Tutf8 page.1"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
  });
  EXPECT_GE(pages, 8);
}

TEST(ManualPage, PrintsWhatTroffWouldTakeForItself) {
  CLI::App app("", "trainer");
  CLI::App* command = app.add_subcommand("x", ".hidden at the begin");
  std::string path = "here";
  command->add_option("--path", path, "a \\ and a - in it")->capture_default_str();
  const std::string page = manual_page(*command, {"1", "2026-01-31"});
  EXPECT_PRED2(contains, page, ".TP\n\\fB\\-\\-path\\fR \\fITEXT\\fR\na \\e and a \\- in it [here]\n");
  EXPECT_PRED2(contains, page, "trainer\\-x \\- \\&.hidden at the begin\n");
}

}  // namespace
}  // namespace trainer::test
