// The page about one run or several: one HTML file that needs nothing else, no network, no script. report.html is how it looks;
// here are its values. Order: what came out, how training went, what the networks do, on what and with what it was done.
#pragma once

#include <string>
#include <vector>

#include "trainer/report/report_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ReportPage {
  std::vector<KnownRun> runs;             // at least one
  std::vector<ExaminedNetwork> networks;  // of the first runs
};

std::string report_html(const ReportPage& page);

}  // namespace trainer
