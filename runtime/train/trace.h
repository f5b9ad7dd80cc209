// RUN/trace.json: what the loop did when, in the Trace Event Format that Perfetto and chrome://tracing open
// (Google, "Trace Event Format", complete events "X").
#ifndef LOCKSTEP_RUNTIME_TRAIN_TRACE_H_
#define LOCKSTEP_RUNTIME_TRAIN_TRACE_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// Thread-safe. Trouble of the disk ends the trace, not the run.
class Trace {
 public:
  // Truncates `path`. A trace cut short by a crash still opens: the format allows a missing end.
  static absl::StatusOr<std::unique_ptr<Trace>> Open(FileSystem* fs, const std::string& path, int rank);
  ~Trace();

  // Something called `name` that took from `begin` to now (MonotonicSeconds) in step `step`.
  void Add(absl::string_view name, double begin, int64_t step);

 private:
  Trace(std::unique_ptr<WritableFile> file, int rank) : file_(std::move(file)), rank_(rank) {}
  void Flush();

  std::mutex mutex_;
  std::unique_ptr<WritableFile> file_;
  const int rank_;
  const double origin_ = MonotonicSeconds();
  std::string pending_ = "[\n";
};

// Times its own life, if there is a trace.
class TraceSpan {
 public:
  TraceSpan(Trace* trace, absl::string_view name, int64_t step)
      : trace_(trace), name_(name), step_(step), begin_(MonotonicSeconds()) {}
  ~TraceSpan() {
    if (trace_ != nullptr) trace_->Add(name_, begin_, step_);
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  Trace* const trace_;
  const absl::string_view name_;
  const int64_t step_;
  const double begin_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TRACE_H_
