// trainer target check on a played remote machine: what is missing, and what the image's program reports.
#include "tests/doctor/played_machine.hpp"

namespace trainer::test {
namespace {

class TargetCheck : public PlayedMachine {};

TEST_F(TargetCheck, UnderstandsTheReportOfTheImageOrSaysThatItDoesNot) {
  folder_.write(
      "targets/vm.compute",
      "type: remotedocker\naddress: vm.example.com\nusername: me\nbaseDockerImage: trainer:1\ngpus: all\n");
  for (const auto& [report, text] :
       {std::pair{R"({"gpu":{"used":true,"name":"Tesla T4"}})", "good     Tesla T4"},
        {R"({"gpu":{"used":false,"reason":"no driver"}})", "FAILED   none used: no driver"},
        {"", "unknown  its report is not understood"},
        {R"({"gpu":null})", "unknown  its report is not understood"},
        {R"({"gpu":{"used":"yes"}})", "unknown  its report is not understood"},
        {R"({"gpu":{"used":true,"name":4}})", "unknown  its report is not understood"}}) {
    play("there/devices", report);
    EXPECT_PRED2(contains, run({"target", "check", "vm"}).out, std::string("GPU in the image   ") + text);
  }
}

TEST_F(TargetCheck, ShowsWhatIsMissing) {
  play("docker-fails", "permission denied while trying to connect to the Docker daemon socket\n");
  const Outcome outcome = run({"target", "check", "vm"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.out, "SSH                good     me@vm.example.com, host key known");
  EXPECT_PRED2(contains, outcome.out,
               "Docker             FAILED   user me may not use Docker's socket (permission denied");
  EXPECT_PRED2(contains, outcome.out, "sudo usermod -aG docker me");
  const Json json = Json::parse(run({"target", "check", "vm", "--json"}).out);
  EXPECT_EQ(json["fit"], false);
  EXPECT_EQ(json["checks"][0]["state"], "ok");
  EXPECT_EQ(json["checks"][2]["what"], "Docker");
  EXPECT_EQ(json["checks"][2]["state"], "problem");
  EXPECT_EQ(json["checks"][3]["state"], "unknown");
  EXPECT_EQ(run({"target", "check", "local"}).code, 0);
}

}  // namespace
}  // namespace trainer::test
