// Lines for people. A Logger is passed to whoever speaks; there is no global one, so a library user hears
// nothing unasked and tests can listen.
#ifndef LOCKSTEP_RUNTIME_CORE_LOG_H_
#define LOCKSTEP_RUNTIME_CORE_LOG_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace lockstep {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Thread-safe: any thread may log at any time; a line is never torn.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void Log(LogLevel level, absl::string_view line) = 0;

  void Debug(absl::string_view line) { Log(LogLevel::kDebug, line); }
  void Info(absl::string_view line) { Log(LogLevel::kInfo, line); }
  void Warning(absl::string_view line) { Log(LogLevel::kWarning, line); }
  void Error(absl::string_view line) { Log(LogLevel::kError, line); }
};

// Writes to standard error as "[rank 3] warning: ..."; no prefix where `rank` is negative. Lines below
// `least` are dropped, and so are a non-zero rank's informational lines: one rank speaks for all.
std::unique_ptr<Logger> MakeStderrLogger(int rank, LogLevel least = LogLevel::kInfo);

// The same for a process whose rank may change: `rank` is read at every line, and must outlive the logger.
std::unique_ptr<Logger> MakeStderrLogger(const std::atomic<int>* rank, LogLevel least = LogLevel::kInfo);

// Drops everything.
std::unique_ptr<Logger> MakeNullLogger();

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_LOG_H_
