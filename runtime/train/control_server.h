// The Unix socket of a run (RUN/control.sock, mode 0600), over which `lockstep ctl` asks things of it: served
// by a thread of rank 0.
//
// One request a connection: a line of at most 255 bytes, "status", "checkpoint", "pause", "resume", "stop",
// "shrink N" or "grow N". The answer is a line "ok" or "error", and text for people up to the end. What
// changes the run takes effect at the next step boundary; the answer comes when the ranks have voted on it.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CONTROL_SERVER_H_
#define LOCKSTEP_RUNTIME_TRAIN_CONTROL_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/control_desk.h"

namespace lockstep::train {

// What a run can do.
struct ControlLimits {
  int lanes = 1;            // so many ranks at most
  int64_t steps = 0;        // where the run stops
  bool membership = false;  // ranks may come and go
  // Asks whoever starts ranks for so many in all; empty: there is nobody to ask.
  std::function<absl::Status(int ranks)> grow;
};

// What a request line is answered with, without the first line. Blocks until a vote has carried what was
// asked, or until `patience` has passed. Errors: ConfigError that says what is wrong with the request.
absl::StatusOr<std::string> AnswerRequest(absl::string_view request, const ControlLimits& limits,
                                          ControlDesk& desk, absl::Duration patience);

// Serves until it is destroyed, which ends the waits of those who asked.
class ControlServer {
 public:
  // In place of a socket that may be there. What prevents it (a file system without sockets) is logged, and
  // the result is null. `desk` and `log` are borrowed.
  static std::unique_ptr<ControlServer> Start(const std::string& path, ControlDesk* desk,
                                              ControlLimits limits, Logger* log);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The other end: sends `request` to the run in `run_folder` and returns its answer. Error: ConfigError when
// nobody answers there, or with what the run says is wrong.
absl::StatusOr<std::string> AskRun(const std::string& run_folder, absl::string_view request,
                                   absl::Duration patience);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CONTROL_SERVER_H_
