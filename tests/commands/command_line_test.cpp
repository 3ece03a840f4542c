// The program's command line as a user meets it: what each mistake is answered with.
#include <sstream>

#include "kernels/backend.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

struct Mistake {
  Words arguments;
  Words said;  // parts of the answer
  int code = 2;
};

class CommandLine : public ProgramTest {
 protected:
  void expect_refused(const Mistake& mistake, const Words& environment = {}) {
    std::string line;
    for (const std::string& word : mistake.arguments) line += " " + word;
    SCOPED_TRACE("trainer" + line);
    const Outcome outcome = trainer(mistake.arguments, environment);
    expect_one_line(outcome, mistake.code);
    for (const std::string& part : mistake.said) EXPECT_PRED2(contains, outcome.err, part);
    EXPECT_EQ(outcome.out, "");
  }

  // `train` on the small data with a mistake added; nothing may be left behind.
  void expect_training_refused(const Words& more, const Words& said, int code = 2) {
    expect_refused({small_training(more), said, code});
    EXPECT_FALSE(fs::exists(folder_ / "runs"));
  }
};

TEST_F(CommandLine, NamesUnknownCommandsAndOptionsWithTheNearest) {
  expect_refused({{}, {"a command is missing", "train", "eval", "predict", "models", "devices"}});
  expect_refused({{"trian"}, {"unknown command 'trian'", "did you mean train?", "devices"}});
  expect_refused(
      {{"train", "--epoch", "3"}, {"unknown option '--epoch'", "did you mean --epochs?", "--help"}});
  expect_refused({{"train", "--epoch=3"}, {"unknown option '--epoch'"}});
  expect_refused({{"--quite", "train"}, {"--quite"}});
  expect_refused({{"train", "lenet"}, {"unexpected argument 'lenet'", "trainer train --help"}});
  expect_refused({{"eval"}, {"RUN_OR_FILE"}});
  expect_refused({{"predict", "run"}, {"IMAGE"}});
  expect_refused({{"train", "--a\nb\x1b[31m"}, {"unknown option"}});
}

TEST_F(CommandLine, RefusesValuesWithTheOptionAndTheChoices) {
  expect_training_refused({"--epochs", "0"}, {"--epochs", "0", "1000000"});
  expect_training_refused({"--epochs", "-1"}, {"--epochs", "-1"});
  expect_training_refused({"--epochs", "two"}, {"--epochs", "two"});
  expect_training_refused({"--epochs", "1.5"}, {"--epochs", "1.5"});
  expect_training_refused({"--batch", "0"}, {"--batch", "0", "65536"});
  expect_training_refused({"--batch", "99999999999999999999"}, {"--batch"});
  expect_training_refused({"--batch"}, {"--batch"});
  expect_training_refused({"--lr", "nan"}, {"--lr", "nan", "positive number"});
  expect_training_refused({"--lr", "inf"}, {"--lr", "inf"});
  expect_training_refused({"--lr", "-0.1"}, {"--lr", "-0.1"});
  expect_training_refused({"--lr", "1e39"}, {"--lr", "1e+39"});
  expect_training_refused({"--lr", "1e-60"}, {"--lr", "1e-60"});
  expect_training_refused({"--seed", "-3"}, {"--seed", "-3"});
  expect_training_refused({"--optimizer", "adan"}, {"--optimizer adan", "sgd, adam, adamw, adadelta"});
  expect_training_refused({"--device", "gpu"}, {"--device gpu", "auto, cpu, cuda, cuda:N"});
  expect_training_refused({"--device", "cuda:x"}, {"--device cuda:x"});
  expect_training_refused({"--engine", "cudnn"}, {"--engine cudnn", "auto, libraries"});
  expect_training_refused({"--threads", "0"}, {"--threads 0", "1024"});
  expect_training_refused({"--threads", "9999"}, {"--threads 9999"});
  expect_training_refused({"--target-accuracy", "101"}, {"--target-accuracy 101", "100"});
  expect_training_refused({"--target-accuracy", "nan"}, {"--target-accuracy"});
  expect_training_refused({"--max-seconds", "nan"}, {"--max-seconds"});
  expect_training_refused({"--max-seconds", "0"}, {"--max-seconds"});
  expect_training_refused({"--limit-train", "0"}, {"--limit-train", "0 not in range", "1 to 2147483647"});
  expect_training_refused({"--validation", "200"}, {"--validation", "200 training images"});
  expect_training_refused({"--validation", "2147483647"}, {"--validation", "200 training images"});
  expect_training_refused({"--validation", "4294967296"}, {"--validation", "4294967296", "0 to 2147483647"});
  expect_training_refused({"--classes", "1"}, {"--classes"});
  expect_training_refused({"--channels", "2"}, {"--channels", "1", "3"});
  expect_training_refused({"--checkpoint-every", "5x"}, {"--checkpoint-every 5x", "500steps"});
  expect_training_refused({"--checkpoint-every", "0steps"}, {"--checkpoint-every 0steps"});
  expect_training_refused({"--checkpoint-every", "-1"}, {"--checkpoint-every -1"});
  expect_training_refused({"--no-save", "--out", "x"}, {"--no-save", "--out"});
}

TEST_F(CommandLine, ADamagedTargetHidesNoOther) {
  ASSERT_EQ(trainer({"target", "attach", "good", "--address", "host"}).code, 0);
  folder_.write("targets/bad.compute", "type: [\n");
  const Outcome table = trainer({"target", "list"});
  EXPECT_EQ(table.code, 0) << "like runs list with a damaged record";
  for (const char* name : {"local ", "docker ", "good "}) EXPECT_PRED2(contains, table.out, name);
  EXPECT_PRED2(contains, table.err, "note: bad is not listed: " + at("targets/bad.compute") + ":");
  EXPECT_EQ(Json::parse(trainer({"target", "list", "--json"}).out).size(), 3U);
}

TEST_F(CommandLine, RefusesNetworksAndDataByName) {
  expect_refused({{"train", "--model", "quik", "--no-save"}, {"'quik'", "did you mean quick?", "lenet"}});
  expect_refused({{"train", "--model", "none.yaml", "--data", "data"}, {"none.yaml"}});
  folder_.write("bad.yaml", "name: bad\nlayers:\n  - covn: {out: 3, kernel: 3}\n");
  expect_refused({{"train", "--model", "bad.yaml", "--data", "data"},
                  {"bad.yaml:3:5", "unknown layer 'covn'", "did you mean conv?"}});
  folder_.write("open.yaml", "name: [\n");
  expect_refused({{"train", "--model", "open.yaml", "--data", "data"}, {"open.yaml:"}});
  folder_.write("large.yaml", "name: large\nlayers:\n  - conv: {out: 4, kernel: 13}\n" +
                                  std::string("  - dense: {out: classes}\nrecipe:\n  optimizer: sgd\n  rate: "
                                              "0.1\n  batch: 8\n  epochs: 1\n"));
  expect_refused({{"train", "--model", "large.yaml", "--data", "data"}, {"large.yaml:3", "12x12"}});
  expect_refused({{"train", "--data", "nowhere"}, {"nowhere"}, 1});
  fs::create_directory(folder_ / "empty");
  expect_refused({{"train", "--data", "empty"}, {"empty"}, 1});
  expect_refused({{"train"}, {"gone"}, 1}, {"TRAINER_DATA=gone"});
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(CommandLine, RefusesABatchThatTheMemoryCannotHold) {
  write_network({.batch = 16});
  folder_.write(
      "wide.yaml",
      "name: wide\nlayers:\n  - conv: {out: 60000, kernel: 1}\n  - maxpool: {size: 12}\n"
      "  - dense: {out: classes}\nrecipe:\n  optimizer: sgd\n  rate: 0.1\n  batch: 65536\n  epochs: 1\n");
  expect_refused({{"train", "--model", "wide.yaml", "--data", "data"}, {"wide"}, 2});
}

TEST_F(CommandLine, SaysWhyThereIsNoGpu) {
  if (gpu_availability().usable) GTEST_SKIP() << "there is a GPU";
  expect_training_refused({"--device", "cuda"}, {"--device cuda", gpu_availability().reason}, 1);
  const Outcome outcome = trainer(small_training({"--no-save"}));
  EXPECT_PRED2(contains, outcome.out, "none used");
}

TEST_F(CommandLine, ResumeRefusesWhatWouldMakeItAnotherRun) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  for (const Words& more : {Words{"--seed", "2"}, Words{"--model", "lenet"}, Words{"--batch", "8"},
                            Words{"--lr", "1"}, Words{"--engine", "auto"}, Words{"--out", "elsewhere"}}) {
    Words arguments{"train", "--resume", "run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_refused({arguments, {more[0], "--resume"}});
  }
  expect_refused({{"train", "--resume", "nothing"}, {"nothing"}, 1});
  expect_refused({{"train", "--resume", "run/model.safetensors"}, {"not a checkpoint"}, 1});
  const std::string mnist = TRAINER_SOURCE_DIR "/data/mnist";
  expect_refused({{"train", "--resume", "run", "--data", mnist}, {"other data"}});
}

TEST_F(CommandLine, HelpShowsEveryDefault) {
  for (const char* name : {"train", "eval", "predict", "models"}) {
    const Outcome outcome = trainer({name, "--help"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
    const std::string help = outcome.out.substr(outcome.out.find("Options:"));
    std::vector<std::string> entries;
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("  --")) {
        entries.push_back(line);
      } else if (!entries.empty()) {
        entries.back() += line;
      }
    }
    EXPECT_GE(entries.size(), 4U);
    for (const std::string& entry : entries) {
      // CLI11 writes a default as "TEXT=auto", since 2.5 as "TEXT [auto]"; our own stand at the end.
      const bool stated = contains(entry, "]") || contains(entry, "=");
      EXPECT_TRUE(stated) << entry;
    }
  }
  for (const char* option :
       {"--model",      "--data",    "--device",  "--epochs",           "--batch",          "--lr",
        "--optimizer",  "--seed",    "--threads", "--target-accuracy",  "--max-seconds",    "--limit-train",
        "--validation", "--out",     "--resume",  "--checkpoint-every", "--json",           "--quiet",
        "--config",     "--no-save", "--classes", "--channels",         "--skip-bad-images"})
    EXPECT_PRED2(contains, trainer({"train", "--help"}).out, option);
  EXPECT_EQ(trainer({"--help"}).code, 0);
  EXPECT_PRED2(contains, trainer({"--version"}).out, "trainer ");
  const Json versions = Json::parse(trainer({"--version", "--json"}).out);
  EXPECT_PRED2(contains, trainer({"--version"}).out, versions.value("trainer", std::string("none")));
  EXPECT_TRUE(versions.contains("compiler") && versions.contains("onednn"));
}

TEST_F(CommandLine, TakesEveryOptionFromAFile) {
  folder_.write(
      "all.yaml",
      "model: small.yaml\ndata: data\ndevice: cpu\nepochs: 3\nbatch: 8\nlr: 0.01\noptimizer: adamw\n"
      "seed: 9\nthreads: 1\ntarget-accuracy: 100\nmax-seconds: 60\nlimit-train: 40\nvalidation: 20\n"
      "out: results\ncheckpoint-every: 2\nclasses: 5\nchannels: 1\njson: true\nquiet: false\n"
      "skip-bad-images: false\n");
  const Outcome outcome = trainer({"train", "--config", "all.yaml", "--epochs", "2", "--json=false"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "accuracy");
  const RunRecord run = record("results");
  EXPECT_EQ(run.seed, 9U);
  EXPECT_EQ(run.data.train_images, 40U);
  EXPECT_EQ(run.data.validation_images, 20U);
  EXPECT_EQ(run.recipe["settings"]["epochs"], 2);
  EXPECT_EQ(run.recipe["settings"]["batch"], 8);
  EXPECT_EQ(run.recipe["settings"]["optimizer"], "adamw");
  EXPECT_EQ(run.recipe["settings"]["classes"], 5);
  EXPECT_EQ(run.results["target_judged_on"], "validation images");
  EXPECT_EQ(metrics("results").size(), 2U);
}

TEST_F(CommandLine, RefusesWrongFilesOfOptionsByPlace) {
  const auto refuse = [&](const char* text, const Words& said) {
    folder_.write("wrong.yaml", text);
    expect_refused({{"train", "--config", "wrong.yaml"}, said});
    expect_refused({{"train", "--config=wrong.yaml"}, said});
  };
  refuse("epochs: 1\nepoch: 3\n",
         {"wrong.yaml:2:1", "unknown option 'epoch'", "did you mean epochs?", "batch"});
  refuse("epochs: 1\nepochs: 3\n", {"wrong.yaml:2:1", "twice"});
  refuse("epochs: [1, 2]\n", {"wrong.yaml:1:9", "one value"});
  refuse("epochs:\n", {"wrong.yaml:", "one value"});
  refuse("quiet: maybe\n", {"wrong.yaml:1:8", "true or false"});
  refuse("- epochs\n", {"wrong.yaml:1:1"});
  refuse("epochs: {\n", {"wrong.yaml:", "not YAML"});
  refuse("epochs: 0\n", {"--epochs"});
  refuse("config: other.yaml\n", {"unknown option 'config'"});
  expect_refused({{"train", "--config", "missing.yaml"}, {"--config", "missing.yaml"}});
  expect_refused({{"train", "--config", "data"}, {"--config", "data"}});
  expect_refused({{"train", "--config"}, {"--config"}});
}

TEST_F(CommandLine, StopsBeforeTrainingWhereNothingCanBeWritten) {
  const Words training = small_training();
  folder_.write("file", "text");
  fs::create_directory(folder_ / "used");
  folder_.write("used/something", "text");
  for (const char* runs : {"/proc/x", "file", "file/below", "/dev/full"})
    expect_refused({training, {"--out", "TRAINER_RUNS", "--no-save"}, 1},
                   {std::string("TRAINER_RUNS=") + runs});
  expect_refused({small_training({"--out", "used"}), {"not empty", "--resume"}, 1});
  expect_refused({small_training({"--out", "file"}), {"file", "not a folder"}, 1});
  expect_refused({small_training({"--out", "/proc/x"}), {"/proc/x"}, 1});
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(CommandLine, PrintsThePlansOfTheGoldenFiles) {
  const fs::path golden = TRAINER_SOURCE_DIR "/tests/golden";
  for (const auto& entry : fs::directory_iterator(golden)) {
    if (entry.is_directory()) continue;
    const fs::path& file = entry.path();
    Words words{"models", file.stem().string(), "--batch", "64"};
    if (file.extension() == ".json") words.emplace_back("--json");
    EXPECT_EQ(trainer(words).out, read_text(file)) << file;
  }
  expect_refused({{"models", "lenett"}, {"'lenett'", "did you mean lenet?"}});
  EXPECT_PRED2(contains, trainer({"models"}).out, "pytorch-example");
}

}  // namespace
}  // namespace trainer::test
