// How a run's page looks: light or dark as its reader has it, always light on paper.
#pragma once

namespace trainer {

extern const char* const kReportStyle;  // CSS

}  // namespace trainer
