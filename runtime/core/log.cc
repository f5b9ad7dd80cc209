#include "runtime/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

class StderrLogger final : public Logger {
 public:
  // `changing_rank` may be null.
  StderrLogger(int rank, const std::atomic<int>* changing_rank, LogLevel least)
      : own_rank_(rank),
        rank_of_(changing_rank != nullptr ? changing_rank : &own_rank_),
        least_(least),
        logger_("lockstep", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::debug);
    logger_.flush_on(spdlog::level::debug);
  }

  void Log(LogLevel level, absl::string_view line) override {
    const int rank = rank_of_->load(std::memory_order_relaxed);
    if (level < least_ || (rank > 0 && level <= LogLevel::kInfo && least_ > LogLevel::kDebug)) return;
    const std::string prefix = rank >= 0 && (rank > 0 || level > LogLevel::kInfo)
                                   ? absl::StrCat("[rank ", rank, "] ")
                                   : std::string();
    const char* kind = level == LogLevel::kWarning ? "warning: " : level == LogLevel::kError ? "error: " : "";
    const std::string text = absl::StrCat(prefix, kind, line);
    logger_.log(level == LogLevel::kDebug ? spdlog::level::debug : spdlog::level::info,
                spdlog::string_view_t(text.data(), text.size()));
  }

 private:
  const std::atomic<int> own_rank_;
  const std::atomic<int>* const rank_of_;
  const LogLevel least_;
  spdlog::logger logger_;
};

class NullLogger final : public Logger {
 public:
  void Log(LogLevel, absl::string_view) override {}
};

}  // namespace

std::unique_ptr<Logger> MakeStderrLogger(int rank, LogLevel least) {
  return std::make_unique<StderrLogger>(rank, nullptr, least);
}

std::unique_ptr<Logger> MakeStderrLogger(const std::atomic<int>* rank, LogLevel least) {
  return std::make_unique<StderrLogger>(-1, rank, least);
}

std::unique_ptr<Logger> MakeNullLogger() { return std::make_unique<NullLogger>(); }

}  // namespace lockstep
