// run.json comes back as it was written, and a record that is not one is refused by the field's name.
#include "trainer/store/run_record.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

#include "tests/support/file_errors.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {
namespace {

using test::TemporaryFolder;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

RunRecord sample() {
  RunRecord record;
  record.status = RunStatus::kStopped;
  record.reason = "signal SIGINT";
  record.command = {"trainer", "train", "--data", "a b\xff"};
  record.model = "quick";
  record.spec_text = "name: quick\n";
  record.recipe = {{"batch", 256}};
  record.seed = 18'446'744'073'709'551'615U;
  record.threads = 2;
  record.device = {{"kind", "cpu"}};
  record.data = {"data/mnist", "crc32:1-2-3-4", 60'000, 5'000, 10'000};
  record.program_version = "0.1.0";
  record.versions = {{"oneDNN", "3.1"}};
  record.machine = {{"cores", 2}};
  record.started = iso_time(1'700'000'000);
  record.ended = iso_time(1'700'000'010);
  record.seconds = 10.25;
  record.results = {{"accuracy", 0.9912}};
  return record;
}

std::string refused_record(const fs::path& path) {
  return message_of([&] { (void)read_run_record(path); });
}

TEST(RunRecord, ComesBackAsItWasWritten) {
  const TemporaryFolder folder;
  const RunRecord written = sample();
  write_run_record(folder / "run.json", written);
  const RunRecord read = read_run_record(folder / "run.json");
  EXPECT_EQ(read.status, written.status);
  EXPECT_EQ(read.reason, written.reason);
  EXPECT_EQ(read.command[2], written.command[2]);
  EXPECT_EQ(read.command[3], "a b\xef\xbf\xbd") << "bytes that are not UTF-8 become U+FFFD";
  EXPECT_EQ(read.seed, written.seed);
  EXPECT_EQ(read.data.fingerprint, written.data.fingerprint);
  EXPECT_EQ(read.data.validation_images, 5'000U);
  EXPECT_EQ(read.recipe, written.recipe);
  EXPECT_EQ(read.results, written.results);
  EXPECT_EQ(read.started, written.started);
  EXPECT_EQ(read.seconds, written.seconds);
  EXPECT_EQ(read.spec_text, written.spec_text);
}

TEST(RunRecord, TimesCarryTheZone) {
  const char* before = std::getenv("TZ");
  const std::string zone = before != nullptr ? before : "";
  setenv("TZ", "ABC+3:30", 1);
  tzset();
  EXPECT_EQ(iso_time(0), "1969-12-31T20:30:00-03:30");
  setenv("TZ", "ABC-1", 1);
  tzset();
  EXPECT_EQ(iso_time(0), "1970-01-01T01:00:00+01:00");
  before != nullptr ? setenv("TZ", zone.c_str(), 1) : unsetenv("TZ");
  tzset();
}

TEST(RunRecord, InstantsAreReadInAnyZone) {
  EXPECT_EQ(instant_of("1970-01-01T01:00:00+01:00"), 0);
  EXPECT_EQ(instant_of("1969-12-31T20:30:00-03:30"), 0);
  EXPECT_EQ(instant_of("2026-11-29T08:00:00Z"), instant_of("2026-11-29 17:00+0900"));
  EXPECT_EQ(instant_of(iso_time(1'700'000'000)), 1'700'000'000);
  EXPECT_EQ(instant_of("2026"), instant_of("2026-01-01T00:00:00")) << "local time";
  EXPECT_LT(instant_of("2026-02"), instant_of("2026-02-02"));
  for (const char* wrong : {"", "now", "2026-", "2026-13", "2026-02-31", "2026-01-01T", "2026-01-01T25:00",
                            "2026-01-01+01:00", "2026-01-01T09:30:00+01:00x", "20260101"})
    EXPECT_EQ(instant_of(wrong), std::nullopt) << wrong;
}

TEST(RunRecord, RefusesWhatIsNotARecordAndNamesTheField) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.json";
  write_run_record(path, sample());
  const Json whole = Json::parse(test::read_text(path));
  const auto with = [&](const char* key, const Json& value) {
    Json changed = whole;
    changed[key] = value;
    return refused_record(folder.write("changed.json", changed.dump()));
  };
  for (const auto& [key, value] : whole.items()) {
    Json changed = whole;
    changed.erase(key);
    EXPECT_NE(refused_record(folder.write("changed.json", changed.dump())).find("no field '" + key + "'"),
              std::string::npos);
  }
  EXPECT_NE(with("format_version", 2).find("its format is 2, this program knows up to 1"), std::string::npos);
  EXPECT_NE(with("status", "done").find("unknown status 'done'; one of running"), std::string::npos);
  EXPECT_NE(with("command", 7).find("field 'command'"), std::string::npos);
  EXPECT_NE(with("data", 7).find("field 'data' is not an object"), std::string::npos);
  EXPECT_NE(refused_record(folder.write("changed.json", "{\"a\"")).find("not a JSON object"),
            std::string::npos);
  EXPECT_NE(refused_record(folder / "none").find("No such file"), std::string::npos);
}

TEST(RunRecord, IsOfThisMachineIfTheFolderAndTheStartOrTheNameAre) {
  const TemporaryFolder folder;
  RunRecord record;
  const auto here = [&](const Json& changes) {
    record.process = process_json(folder.path());
    record.process.update(changes);
    return was_written_here(record, folder.path());
  };
  EXPECT_TRUE(here(Json::object()));
  EXPECT_TRUE(here({{"boot_id", "another"}}));
  EXPECT_TRUE(here({{"host", "another"}}));
  EXPECT_FALSE(here({{"inode", 1}}));
  EXPECT_FALSE(here({{"boot_id", "another"}, {"host", "another"}}));
}

TEST(Score, HasAStandardErrorThatShrinksWithTheImages) {
  EXPECT_EQ((Score{.images = 0, .accuracy = 0.5}.standard_error()), 0);
  EXPECT_DOUBLE_EQ((Score{.images = 100, .accuracy = 0.8}.standard_error()), 0.04);
}

}  // namespace
}  // namespace trainer
