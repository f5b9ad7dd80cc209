#include "runtime/train/trace.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace lockstep::train {

absl::StatusOr<std::unique_ptr<Trace>> Trace::Open(FileSystem* fs, const std::string& path, int rank) {
  ASSIGN_OR_RETURN(auto file, fs->Create(path));
  return std::unique_ptr<Trace>(new Trace(std::move(file), rank));
}

Trace::~Trace() {
  std::lock_guard lock(mutex_);
  pending_ += "{}]\n";
  Flush();
}

void Trace::Add(absl::string_view name, double begin, int64_t step) {
  const double end = MonotonicSeconds();
  std::lock_guard lock(mutex_);
  absl::StrAppendFormat(&pending_,
                        "{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":0,\"ts\":%.1f,\"dur\":%.1f,"
                        "\"args\":{\"step\":%d}},\n",
                        name, rank_, (begin - origin_) * 1e6, (end - begin) * 1e6, step);
  if (pending_.size() > 64 << 10) Flush();
}

void Trace::Flush() {
  if (file_ != nullptr && !file_->Append(pending_).ok()) file_.reset();
  pending_.clear();
}

}  // namespace lockstep::train
