// The identity of a data set's contents, for run records: "crc32:e9f4d8b3-...", the CRC-32 of training
// images, training labels, test images and test labels, each as a plain IDX file would hold it, header
// included (so that shape and count are covered). For IDX files it is therefore the checksum that `gzip -lv`
// shows. It does not depend on names or compression: the same images in the same order give the same text, be
// they gzip IDX, plain IDX or pictures. CRC-32 tells accidents and versions apart in 4 ms; it is no defence
// against forgery.
#pragma once

#include <string>

#include "data/dataset.hpp"

namespace trainer::data {

std::string fingerprint(const Dataset& dataset);

}  // namespace trainer::data
