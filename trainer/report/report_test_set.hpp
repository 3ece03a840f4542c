// The page's parts about a network: confusion matrix, misclassified images, first-layer filters.
#pragma once

#include <string>

#include "trainer/report/report_network.hpp"

namespace trainer {

// Headings below the section's own: <h3>.
std::string network_parts(const ExaminedNetwork& network);

// A table with shades up to kMostMatrixClasses classes, beyond that the most confused pairs.
std::string confusion_part(const ExaminedNetwork& network);

inline constexpr int kMostMatrixClasses = 20;

}  // namespace trainer
