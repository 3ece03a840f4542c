// Events as bytes: their frame, and what is left of them wherever a file is cut. What they say is read by TensorBoard itself, in
// tensorboard_program_test.
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "tests/support/event_file_reader.hpp"
#include "trainer/tensorboard/run_events.hpp"

namespace trainer::test {
namespace {

using namespace std::string_literals;

TEST(EventFrame, ItsReaderComputesPublishedChecksums) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U) << "the check value of CRC-32C";
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU) << "RFC 3720, B.4";
  EXPECT_EQ(masked_crc("\x18\0\0\0\0\0\0\0"s), 0x224B7FA3U) << "the first bytes of TensorFlow's own files";
}

TEST(EventFrame, HoldsTheMessageAndItsChecksums) {
  const EventFile file = read_event_file(Event(1.5, 3).version().record());
  ASSERT_EQ(file.messages.size(), 1U);
  EXPECT_EQ(file.messages[0], "\x09\0\0\0\0\0\0\xF8\x3F\x10\x03\x1A\x0D"s + "brain.Event:2");
  EXPECT_EQ(file.left, 0U);
}

TEST(EventFrame, AnyBitThatChangesIsFound) {
  const std::string record = Event(1, 2).scalar("loss/test", 0.25).record();
  for (std::size_t bit = 0; bit < 8 * record.size(); ++bit) {
    std::string changed = record;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const EventFile file = read_event_file(changed);
    EXPECT_TRUE(file.messages.empty() && file.damaged) << bit;
  }
}

TEST(EventFrame, AFileThatIsCutAnywhereKeepsWhatIsInFront) {
  std::string bytes = Event(1, 0).version().record();
  std::vector<std::size_t> ends{bytes.size()};
  for (std::uint64_t step = 1; step < 5; ++step) {
    bytes += Event(1, step).scalar("a", 1).text("b", "c").record();
    ends.push_back(bytes.size());
  }
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const EventFile file = read_event_file(std::string_view(bytes).substr(0, length));
    EXPECT_FALSE(file.damaged);
    EXPECT_EQ(file.messages.size(),
              std::count_if(ends.begin(), ends.end(), [&](auto end) { return end <= length; }));
  }
}

TEST(Event, ScalarsAreRoundedToFp32) {
  const std::string record = Event(0, 0).scalar("x", 0.1).record();
  EXPECT_NE(record.find("\x0A\x01x\x15\xCD\xCC\xCC\x3D"), std::string::npos);
}

TEST(Event, EqualOrNoWeightsAreAHistogramToo) {
  const std::array<float, 3> equal{2, 2, 2};
  EXPECT_EQ(read_event_file(Event(0, 0).histogram("x", equal).record()).messages.size(), 1U);
  EXPECT_EQ(Event(0, 0).histogram("x", {}).record(), Event(0, 0).record());
  for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
    const std::array<float, 2> values{1, bad};
    EXPECT_EQ(Event(0, 0).histogram("x", values).record(), Event(0, 0).record()) << bad;
  }
  const std::array<float, 2> extreme{-std::numeric_limits<float>::max(), std::numeric_limits<float>::max()};
  EXPECT_EQ(read_event_file(Event(0, 0).histogram("x", extreme).record()).messages.size(), 1U);
}

TEST(Event, WhatIsNotUtf8IsReplaced) {
  EXPECT_NE(Event(0, 0).text("x", "a\xFFz").record().find("a\xEF\xBF\xBDz"), std::string::npos);
  EXPECT_NE(Event(0, 0).hyperparameters({{"x", "a\xFFz"}}).record().find("a\xEF\xBF\xBDz"),
            std::string::npos);
}

}  // namespace
}  // namespace trainer::test
