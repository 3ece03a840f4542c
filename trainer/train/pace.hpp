// How fast a run trains and when it will end, over all that this process has trained, so that the estimate becomes steadier.
#pragma once

#include <optional>

namespace trainer {

class Pace {
 public:
  // Until one has been timed, an evaluation is taken to last as long as the training of so many images.
  explicit Pace(double images_of_evaluation) : images_of_evaluation_(images_of_evaluation) {}

  // So many images of the run have been trained by the time `now`, in seconds. The first call only begins to count.
  void trained(double images, double now) {
    if (!begun_) begin_ = {images, now};
    begun_ = true;
    last_ = {images, now};
  }
  void evaluated(double seconds) {
    ++evaluations_;
    evaluation_seconds_ += seconds;
  }

  // Nothing until a second of training has been counted.
  [[nodiscard]] std::optional<double> images_per_second() const {
    const double seconds = last_.time - begin_.time - evaluation_seconds_;
    return seconds < 1 ? std::nullopt : std::optional((last_.images - begin_.images) / seconds);
  }

  // The seconds for the training of so many images, and for so many evaluations.
  [[nodiscard]] std::optional<double> seconds_left(double images, double evaluations) const {
    const std::optional<double> rate = images_per_second();
    if (!rate || !(*rate > 0)) return std::nullopt;
    const double each = evaluations_ > 0 ? evaluation_seconds_ / evaluations_ : images_of_evaluation_ / *rate;
    return images / *rate + evaluations * each;
  }

 private:
  struct Mark {
    double images = 0;
    double time = 0;
  };
  double images_of_evaluation_;
  bool begun_ = false;
  Mark begin_, last_;
  int evaluations_ = 0;
  double evaluation_seconds_ = 0;
};

}  // namespace trainer
