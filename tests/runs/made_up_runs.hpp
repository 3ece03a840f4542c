// Runs and answers made up for tests of a run's page, and a check that its HTML is well nested.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "trainer/report/report_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer::test {

// A run of so many epochs, whose accuracy rises towards 99 % while its losses fall.
inline KnownRun made_up_run(int epochs) {
  KnownRun run;
  run.id = "20260101-000000-made-up-1";
  run.record.status = RunStatus::kFinished;
  run.record.model = "made-up";
  run.record.data.train_images = 1000;
  run.record.data.test_images = 500;
  for (int i = 1; i <= epochs; ++i) {
    EpochRecord& epoch = run.epochs.emplace_back();
    epoch.epoch = static_cast<std::uint64_t>(i);
    epoch.step = static_cast<std::uint64_t>(i) * 10;
    epoch.images = 1000;
    epoch.train_loss = 2.0 / i;
    epoch.test = {run.record.data.test_images, 1.5 / i, 0.99 - 0.5 / i};
    epoch.learning_rate = 0.01;
    epoch.seconds = 1 + 0.01 * i;
  }
  return run;
}

// Each label once right and as often taken for the next one as its number says.
inline ExaminedNetwork made_up_network(int classes) {
  ExaminedNetwork network;
  TestAnswers answers;
  answers.classes = classes;
  answers.confusion.assign(static_cast<std::size_t>(classes) * classes, 0);
  for (int label = 0; label < classes; ++label) {
    network.label_names.push_back("name" + std::to_string(label));
    answers.confusion[static_cast<std::size_t>(label) * classes + label] = 1;
    answers.confusion[static_cast<std::size_t>(label) * classes + (label + 1) % classes] +=
        static_cast<std::uint64_t>(label);
  }
  for (const std::uint64_t images : answers.confusion) answers.score.images += images;
  network.test = answers;
  return network;
}

inline std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

// Empty where every element that must be closed is, in the right order; else what is wrong. Style is text.
inline std::string nesting_fault(const std::string& html) {
  static const std::set<std::string> kWithoutEnd{"meta", "img", "wbr", "!DOCTYPE"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string::npos) return "a tag without an end: " + html.substr(at, 40);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const bool closes = tag.starts_with('/');
    const std::string name = tag.substr(closes ? 1 : 0, tag.find_first_of(" /", 1) - (closes ? 1 : 0));
    if (closes) {
      if (open.empty() || "/" + open.back() != tag) return "</" + name + "> closes another element";
      open.pop_back();
    } else if (!tag.ends_with('/') && !kWithoutEnd.contains(name)) {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

}  // namespace trainer::test
