// Bytes of a record, wherever they lie.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_VIEW_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_VIEW_H_

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace lockstep::data {

// A value type. The bytes live as long as any copy of this that names an owner; without one they lie in a mapped
// file or in memory, and live as long as the data set. Converts to a plain view, which keeps nothing alive.
class RecordView {
 public:
  RecordView() = default;
  RecordView(absl::string_view bytes) : bytes_(bytes) {}  // NOLINT: a view of what lives long enough
  RecordView(absl::string_view bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}

  absl::string_view bytes() const { return bytes_; }
  operator absl::string_view() const { return bytes_; }  // NOLINT: what most callers want
  explicit operator std::string() const { return std::string(bytes_); }
  const char* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  // A part of the same bytes, which keeps all of them.
  RecordView Part(size_t begin, size_t size_bytes) const {
    return {bytes_.substr(begin, size_bytes), owner_};
  }

  friend bool operator==(const RecordView& a, absl::string_view b) { return a.bytes_ == b; }
  friend std::ostream& operator<<(std::ostream& out, const RecordView& view) { return out << view.bytes_; }

 private:
  absl::string_view bytes_;
  std::shared_ptr<const void> owner_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_VIEW_H_
