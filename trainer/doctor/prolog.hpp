// trainer doctor --prolog: the quick checks of a node, judged by a file (deploy/health.yaml), before a job starts there or every few
// minutes. It ends within five seconds whatever the machine does: all that may hang, drivers and file systems, has a limit.
#pragma once

#include <map>

#include "trainer/console/check.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// The exit statuses of monitoring plugins; as the word for a check, ok means that it is ignored.
enum class Severity : std::uint8_t { ok = 0, warn = 1, critical = 2, unknown = 3 };

struct Health {
  int gpus = 0;                             // that the node has at least
  std::map<std::string, Severity> of = {};  // a problem in a check; of one that is not there: warn
};
Health read_health(const std::string& file);  // throws UsageError with the place and the choices

struct NodeReport {
  Health health = {};
  std::vector<Check> checks = {};
  std::string failure = {};  // why the doctor itself failed; empty: it did not
  double seconds = 0;
};

// What is known if this check gives no answer.
NodeReport without_answer(NodeReport report, const std::string& check);

// The worst of all; a failure of the doctor itself hides nothing critical.
Severity status_of(const NodeReport& report);
std::string node_json(const NodeReport& report);                        // one line
std::string node_metrics(const NodeReport& report, std::uint64_t now);  // `now` in seconds since 1970
std::string node_junit(const NodeReport& report);

struct PrologOptions {
  Questions questions = {};
  std::string health = {};  // the file; empty: the shipped one
  std::string prom = {};    // for node_exporter; empty: none
  std::string junit = {};   // empty: none
};
// Prints one line of JSON and returns its status.
int run_prolog(const Environment& environment, const PrologOptions& options);

}  // namespace trainer::doctor
