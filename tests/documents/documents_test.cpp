// What a package takes from the command line: manual pages and completion, tried in the shells themselves.
#include <algorithm>
#include <functional>
#include <gtest/gtest.h>

#include "tests/support/child_process.hpp"
#include "tests/support/program.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/documents/completion.hpp"
#include "trainer/documents/manual_page.hpp"

namespace trainer::test {
namespace {

using Lines = std::vector<std::string>;

class Documents : public testing::Test {
 protected:
  Documents() : app_(make_app()), commands_(*app_, environment_), root_(command_tree(*app_)) {
    folder_.write("trainer.bash", bash_completion(root_, {"quick", "lenet"}));
    folder_.write("_trainer", zsh_completion(root_, {"quick", "lenet"}));
    folder_.write("runs/20260101-093000-quick-1/run.json", "{}");
    folder_.write("runs/not-a-run/other", "");
    folder_.write("targets/my_dsvm.compute", "");
  }

  Outcome shell(const Lines& words) const {
    return ChildProcess(words, {{}, folder_.path().string()}).wait();
  }

  // What bash offers where the last of `words` is being typed.
  Lines completed(const Lines& words) const {
    std::string line = "source ./trainer.bash; COMP_WORDS=(";
    for (const std::string& word : words) line += " '" + word + "'";
    line += "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _trainer; printf '%s\\n' \"${COMPREPLY[@]}\"";
    const Outcome outcome = shell({"/bin/bash", "--norc", "-c", line});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    Lines offered;
    std::string text;
    for (const char letter : outcome.out) {
      if (letter == '\n') {
        if (!text.empty()) offered.push_back(text);
        text.clear();
      } else {
        text += letter;
      }
    }
    return offered;
  }

  static bool has(const Lines& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }

  TemporaryFolder folder_;
  Environment environment_;
  std::unique_ptr<CLI::App> app_;
  Commands commands_;
  CommandNode root_;
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
}

TEST_F(Documents, BashCompletesRunsThatAreThere) {
  const Lines offered = completed({"trainer", "eval", ""});
  EXPECT_TRUE(has(offered, "last"));
  EXPECT_TRUE(has(offered, "20260101-093000-quick-1"));
  EXPECT_FALSE(has(offered, "not-a-run"));
  EXPECT_EQ(completed({"trainer", "train", "--resume", "2026"}), Lines({"20260101-093000-quick-1"}));
}

TEST_F(Documents, ZshReadsItsScript) {
  const Outcome version = shell({"/bin/sh", "-c", "command -v zsh"});
  if (version.code != 0) GTEST_SKIP() << "no zsh here";
  const Outcome outcome = shell({"/bin/sh", "-c", "zsh -n ./_trainer"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
}

void expect_every_page_whole(const CommandNode& command,
                             const std::function<void(const std::string&)>& check) {
  const std::string page = manual_page(command, {"1.2.3", "2026-01-31"});
  EXPECT_TRUE(page.starts_with(".TH \"")) << page;
  for (const CommandOption& option : command.options) {
    for (const std::string& name : option.names) {
      std::string escaped;
      for (const char letter : name) escaped += letter == '-' ? std::string("\\-") : std::string(1, letter);
      EXPECT_PRED2(contains, page, escaped) << command.joined(" ");
    }
  }
  check(page);
  for (const CommandNode& child : command.children) expect_every_page_whole(child, check);
}

TEST_F(Documents, EveryCommandHasAPageThatTroffReadsWithoutAWarning) {
  const bool troff = shell({"/bin/sh", "-c", "command -v groff"}).code == 0;
  int pages = 0;
  expect_every_page_whole(root_, [&](const std::string& page) {
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
  const CommandNode command{{"trainer", "x"},
                            ".hidden at the begin",
                            {{{"--path"}, "a \\ and a - in it", "TEXT", "here", false, false, false}},
                            {}};
  const std::string page = manual_page(command, {"1", "2026-01-31"});
  EXPECT_PRED2(contains, page, ".TP\n\\fB\\-\\-path\\fR \\fITEXT\\fR\na \\e and a \\- in it [here]\n");
  EXPECT_PRED2(contains, page, "trainer\\-x \\- \\&.hidden at the begin\n");
}

}  // namespace
}  // namespace trainer::test
