// trainer committee: several trained networks answer as one, by the mean of their log-softmax.
#include "trainer/commands/commands.hpp"

namespace trainer {

namespace {

struct CommitteeOptions : EvalOptions {
  std::vector<std::string> runs, pictures;
  std::string fit = "auto";
  bool is_test = false;  // the default
};

int committee(const Environment& environment, const CommitteeOptions& given) {
  CommitteeOptions options = given;
  options.run = options.runs.front();
  options.members.assign(options.runs.begin() + 1, options.runs.end());
  if (options.pictures.empty()) return eval(environment, options);
  return predict(environment, {options, options.pictures, options.fit, options.json});
}

void declare_committee(CLI::App& app, CommitteeOptions& options) {
  constexpr int kMostMembers = 1000;
  app.add_option("RUN", options.runs, "runs, registered names or .safetensors files")
      ->required()
      ->expected(2, kMostMembers);
  CLI::Option* eval =
      app.add_flag("--eval", options.is_test, "test them on the test set, as without --predict");
  add_eval_options(app, options);
  CLI::Option* pictures =
      app.add_option("--predict", options.pictures, "tell what is in these PNG, JPEG or BMP files")
          ->excludes(eval);
  pictures->excludes(app.get_option("--logits"), app.get_option("--data"));
  add_fit(app, options.fit)->needs(pictures);
}

}  // namespace

Command add_committee(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "committee", "test or ask several trained networks as one",
                     declare_committee, committee);
}

}  // namespace trainer
