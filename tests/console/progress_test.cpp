// The console on a pretended terminal, into a file and a full device, by a clock that the test moves.
#include "trainer/console/progress.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>

#include "tests/support/temporary_folder.hpp"

namespace trainer {
namespace {

using namespace std::chrono_literals;

std::string contents(std::FILE* file) {
  std::fflush(file);
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text.push_back(static_cast<char>(c));
  return text;
}

struct ConsoleTest : testing::Test {
  std::FILE* file = std::tmpfile();
  std::FILE* messages = std::tmpfile();
  std::chrono::steady_clock::time_point time{};
  ConsoleOptions options;
  Screen screen;

  ConsoleTest() {
    options.messages = messages;
    screen.now = [this] { return time; };
    screen.columns = [] { return 40; };
  }
  ConsoleTest(const ConsoleTest&) = delete;
  ConsoleTest& operator=(const ConsoleTest&) = delete;
  ~ConsoleTest() override {
    std::fclose(file);
    std::fclose(messages);
  }

  std::string written() const { return contents(file); }
};

// A text for Console::progress.
std::function<std::string()> saying(const char* text) {
  return [text] { return std::string(text); };
}

TEST_F(ConsoleTest, PrintsLinesForAPerson) {
  Console console(file, options, screen);
  console.line("one");
  console.result("two");
  console.json({{"a", 1}});
  EXPECT_EQ(written(), "one\ntwo\n");
}

TEST_F(ConsoleTest, EndsTextsWithOneLineEnd) {
  Console console(file, options, screen);
  console.text("a\nb");
  console.text("c\nd\n");
  console.text("");
  console.line("");
  EXPECT_EQ(written(), "a\nb\nc\nd\n\n");
}

TEST_F(ConsoleTest, MessagesGoToTheirOwnStreamAlways) {
  options.quiet = true;
  options.json = true;
  Console console(file, options, screen);
  console.warning("careful");
  console.error("broken");
  EXPECT_EQ(contents(messages), "warning: careful\nerror: broken\n");
  EXPECT_EQ(written(), "");
}

TEST_F(ConsoleTest, QuietLeavesOnlyResults) {
  options.quiet = true;
  Console console(file, options, screen);
  console.line("one");
  time += 1h;
  console.progress(0.5, saying("text"));
  console.result("two");
  EXPECT_EQ(written(), "two\n");
}

TEST_F(ConsoleTest, JsonLeavesOnlyJsonLines) {
  options.json = true;
  screen.terminal = true;
  Console console(file, options, screen);
  console.line("one");
  console.progress(0.5, saying("text"));
  console.result("two");
  console.json({{"path", "a\nb\xff"}});
  EXPECT_EQ(written(), "{\"path\":\"a\\nb\xef\xbf\xbd\"}\n");
}

TEST_F(ConsoleTest, KeepsWhatIsForPeopleWhateverIsShown) {
  const test::TemporaryFolder folder;
  folder.write("output.log", "before\n");
  for (const bool json : {false, true}) {
    options.json = json;
    options.quiet = !json;
    screen.terminal = true;
    Console console(file, options, screen);
    console.line("unseen");
    console.keep_in(folder / "output.log");
    console.line("one");
    console.progress(0.5, saying("bar"));
    console.text("two\nthree");
    console.json({{"a", 1}});
    console.warning("careful");
    console.result("four");
    console.keep("kept\n");
  }
  const std::string once = "one\ntwo\nthree\nwarning: careful\nfour\nkept\n";
  EXPECT_EQ(test::read_text(folder / "output.log"), "before\n" + once + once);
  EXPECT_EQ(written(), "four\n{\"a\":1}\n");
  Console console(file, options, screen);
  console.keep_in(folder / "none/output.log");
  console.keep_in("/dev/full");
  console.line("it goes on");
}

TEST_F(ConsoleTest, APipeGetsALineEveryTenSecondsAtTheMost) {
  Console console(file, options, screen);
  for (int i = 0; i <= 250; ++i) {
    console.progress(i / 1000.0, saying("epoch 1"));
    time += 100ms;
  }
  EXPECT_EQ(written(), "   10 %  epoch 1\n   20 %  epoch 1\n");
}

TEST_F(ConsoleTest, ATerminalGetsTheBarTenTimesASecondAtTheMost) {
  screen.terminal = true;
  Console console(file, options, screen);
  for (int i = 0; i < 1000; ++i) {
    console.progress(i / 1000.0, saying("epoch 1"));
    time += 1ms;
  }
  const std::string text = written();
  EXPECT_EQ(std::ranges::count(text, '\r'), 10);
  EXPECT_EQ(std::ranges::count(text, '\n'), 0);
}

TEST_F(ConsoleTest, TheBarIsClearedBeforeALineAndAtTheEnd) {
  screen.terminal = true;
  {
    Console console(file, options, screen);
    console.progress(0.5, saying("x"));
    console.line("said");
    console.progress(0.5, saying("longer"));
    time += 1s;
    console.progress(0.5, saying("x"));
  }
  const std::string bar = "####-----  50 %  ";
  const std::string blank(bar.size() + 1, ' ');
  EXPECT_EQ(written(), "\r" + bar + "x" + "\r" + blank + "\r" + "said\n" + "\r" + bar + "longer" + "\r" +
                           bar + "x" + std::string(5, ' ') + "\r" + blank + "\r");
}

TEST(ProgressBar, FitsAnyWidthAndFraction) {
  EXPECT_EQ(progress_bar(1.0, "done", 32, false), "######## 100 %  done");
  EXPECT_EQ(progress_bar(0.999, "x", 32, false), "#######-  99 %  x");
  EXPECT_EQ(progress_bar(-5, "x", 40, false).substr(0, 14), "----------   0");
  EXPECT_EQ(progress_bar(NAN, "x", 40, false).substr(0, 14), "----------   0");
  EXPECT_EQ(progress_bar(0.5, "x", 40, true), "━━━━━─────  50 %  x");
  EXPECT_EQ(progress_bar(0.5, "\xc3\xa4\xc3\xa4\xc3\xa4", 20, false),
            "##---  50 %  \xc3\xa4\xc3\xa4\xc3\xa4");
  EXPECT_EQ(progress_bar(0.5, "\xc3\xa4\xc3\xa4\xc3\xa4", 13, false).size(), 3U + 8U + 4U);
  EXPECT_EQ(progress_bar(0.5, "x", 0, false), "");
  EXPECT_EQ(progress_bar(0.5, "x", -1, false), "");
}

TEST(ProgressBar, LeavesOutWhatDoesNotFitWhole) {
  EXPECT_EQ(progress_bar(0.5, "epoch 1/2  3 s left  step 12", 50, false),
            "######------  50 %  epoch 1/2  3 s left  step 12");
  EXPECT_EQ(progress_bar(0.5, "epoch 1/2  3 s left  step 12", 45, false),
            "#####------  50 %  epoch 1/2  3 s left");
  EXPECT_EQ(progress_bar(0.5, "epoch 1/2  3 s left", 30, false), "###----  50 %  epoch 1/2");
  EXPECT_EQ(progress_bar(0.5, "epoch 1/2  3 s left", 20, false), "##---  50 %  epoch 1");
}

TEST(PaceText, SaysWhatIsKnown) {
  EXPECT_EQ(pace_text(64.2, 32800.4), "  1 min 5 s left  32,800 images/s");
  EXPECT_EQ(pace_text(0.1, 7.0), "  1 s left  7 images/s");
  EXPECT_EQ(pace_text(59.5, std::nullopt), "  1 min 0 s left");
  EXPECT_EQ(pace_text(std::nullopt, 12.0), "  12 images/s");
  EXPECT_EQ(pace_text(std::nullopt, std::nullopt), "");
}

TEST(Screen, FollowsTheTerminalAndTheEnvironment) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
    GTEST_SKIP() << "no pseudo-terminals here";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(ptsname(terminal), "r+"), std::fclose);
  ASSERT_NE(out, nullptr);
  const Screen full = screen_of(out.get(), {"xterm", "de_DE.UTF-8"});
  EXPECT_TRUE(full.terminal && full.unicode);
  EXPECT_EQ(full.columns(), 80) << "a size of 0 is no size";
  EXPECT_EQ(full.rows(), 24);
  EXPECT_TRUE(full.cursor);
  const Screen ascii = screen_of(out.get(), {"xterm", "C"});
  EXPECT_TRUE(ascii.terminal && !ascii.unicode);
  for (const char* term : {"dumb", ""}) {
    const Screen dumb = screen_of(out.get(), {term, "C.utf8"});
    EXPECT_TRUE(dumb.terminal && !dumb.unicode && !dumb.cursor);
  }
  close(terminal);
}

TEST(Screen, AFileIsNoTerminal) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::tmpfile(), std::fclose);
  const Screen screen = screen_of(out.get(), {"xterm", "C.UTF-8"});
  EXPECT_FALSE(screen.terminal || screen.unicode || screen.cursor);
  Console console(out.get(), {});
  console.line("x");
  EXPECT_EQ(contents(out.get()), "x\n");
}

// Counts what it is given and takes nothing.
ssize_t refuse_write(void* count, const char* /*text*/, std::size_t /*size*/) {
  ++*static_cast<int*>(count);
  errno = ENOSPC;
  return 0;
}

TEST(ConsoleErrors, NothingMoreIsWrittenAfterAWriteThatFailed) {
  int writes = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(
      fopencookie(&writes, "w", {nullptr, refuse_write, nullptr, nullptr}), std::fclose);
  Console console(out.get(), {});
  console.line("x");
  EXPECT_EQ(writes, 1);
  console.line("y");
  console.result("z");
  EXPECT_EQ(writes, 1);
}

}  // namespace
}  // namespace trainer
