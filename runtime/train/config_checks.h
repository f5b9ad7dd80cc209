// The small checks that validation (config_validate*.cc) is made of; nobody else includes it. Each returns OK
// or a ConfigError "path.of.field: what is wrong".
#ifndef LOCKSTEP_RUNTIME_TRAIN_CONFIG_CHECKS_H_
#define LOCKSTEP_RUNTIME_TRAIN_CONFIG_CHECKS_H_

#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/run_config.pb.h"
#include "runtime/core/shape.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// config.model, which may depend on what config.data will feed it (config_validate_model.cc).
absl::Status CheckModel(const RunConfig& config);

// config.data.image (config_validate_image.cc).
absl::Status CheckImage(const ImageData& image);

// Mixup and cutmix, which depend on the batch, too (config_validate_image.cc). After the batch was checked.
absl::Status CheckMixing(const RunConfig& config);

// config.data.columns (config_validate_columns.cc).
absl::Status CheckColumns(const ColumnData& columns);

// Which records are used, in which order, and what becomes of damaged ones (config_validate_order.cc).
absl::Status CheckOrder(const RunConfig& config);

inline absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return ConfigError(absl::StrCat(path, ": ", what));
}

// The range checks; NaN is in no range.
inline absl::Status AtLeast(absl::string_view path, double value, double least) {
  if (value >= least && std::isfinite(value)) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be at least ", least));
}
inline absl::Status Above(absl::string_view path, double value, double bound) {
  if (value > bound && std::isfinite(value)) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be greater than ", bound));
}
inline absl::Status FromTo(absl::string_view path, double value, double least, double below) {
  if (value >= least && value < below) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be in [", least, ", ", below, ")"));
}
inline absl::Status Needed(absl::string_view path, bool is_set) {
  return is_set ? absl::OkStatus() : Wrong(path, "is required");
}
inline absl::Status NotBuilt(absl::string_view path, absl::string_view value, absl::string_view instead) {
  return Wrong(path, absl::StrCat(value, " is not built yet; use ", instead));
}
// Required and at least 1.
inline absl::Status Count(absl::string_view path, bool is_set, int64_t value) {
  RETURN_IF_ERROR(Needed(path, is_set));
  return AtLeast(path, value, 1);
}

template <typename Values>
absl::Status Dimensions(absl::string_view path, const Values& shape) {
  if (shape.size() >= Shape::kMaxRank) {  // one is the batch's
    return Wrong(path,
                 absl::StrCat(shape.size(), " dimensions; at most ", Shape::kMaxRank - 1, " are possible"));
  }
  double size = 1;
  for (const int64_t dimension : shape) {
    RETURN_IF_ERROR(AtLeast(path, dimension, 1));
    size *= static_cast<double>(dimension);
  }
  return size < 1e12 ? absl::OkStatus()
                     : Wrong(path, absl::StrCat("[", absl::StrJoin(shape, ", "), "] is too large"));
}

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CONFIG_CHECKS_H_
