#include "runtime/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

class StderrLogger final : public Logger {
 public:
  StderrLogger(int rank, LogLevel least)
      : rank_(rank), least_(least), logger_("lockstep", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::debug);
    logger_.flush_on(spdlog::level::debug);
  }

  void Log(LogLevel level, absl::string_view line) override {
    if (level < least_ || (rank_ > 0 && level <= LogLevel::kInfo && least_ > LogLevel::kDebug)) return;
    const std::string prefix = rank_ >= 0 && (rank_ > 0 || level > LogLevel::kInfo)
                                   ? absl::StrCat("[rank ", rank_, "] ")
                                   : std::string();
    const char* kind = level == LogLevel::kWarning ? "warning: " : level == LogLevel::kError ? "error: " : "";
    const std::string text = absl::StrCat(prefix, kind, line);
    logger_.log(level == LogLevel::kDebug ? spdlog::level::debug : spdlog::level::info,
                spdlog::string_view_t(text.data(), text.size()));
  }

 private:
  const int rank_;
  const LogLevel least_;
  spdlog::logger logger_;
};

class NullLogger final : public Logger {
 public:
  void Log(LogLevel, absl::string_view) override {}
};

}  // namespace

std::unique_ptr<Logger> MakeStderrLogger(int rank, LogLevel least) {
  return std::make_unique<StderrLogger>(rank, least);
}

std::unique_ptr<Logger> MakeNullLogger() { return std::make_unique<NullLogger>(); }

}  // namespace lockstep
