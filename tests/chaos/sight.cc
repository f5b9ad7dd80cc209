#include "tests/chaos/sight.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lockstep::testing {

namespace fs = std::filesystem;

char StateOf(pid_t pid) {
  std::string line;
  std::getline(std::ifstream(absl::StrCat("/proc/", pid, "/stat")), line);
  const size_t name_end = line.rfind(')');
  return name_end != line.npos && name_end + 2 < line.size() ? line[name_end + 2] : '\0';
}

Sight::Sight(const std::string& run_folder) : folder_(run_folder), metrics_(run_folder + "/metrics.jsonl") {
  std::error_code error;
  before_ = fs::last_write_time(metrics_, error);
  metrics_seen_ = !error;
}

int Sight::Step() const {
  constexpr int64_t kTail = 1500;  // holds a line
  std::error_code error;
  const auto now = fs::last_write_time(metrics_, error);
  if (error || (metrics_seen_ && now == before_)) return 0;
  std::ifstream file(metrics_, std::ios::binary | std::ios::ate);
  const int64_t size = file.tellg();
  std::string text(static_cast<size_t>(std::clamp<int64_t>(size, 0, kTail)), ' ');
  file.seekg(std::max<int64_t>(size - kTail, 0));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const size_t at = text.rfind("{\"step\": ");
  return at == text.npos ? 0 : std::atoi(text.c_str() + at + 9);
}

int Sight::Generation() const {
  int newest = 0;
  std::error_code ignored;
  for (const auto& start : fs::directory_iterator(folder_ + "/membership", ignored)) {
    for (const auto& entry : fs::directory_iterator(start.path(), ignored)) {
      const std::string text = entry.path().filename().string();
      absl::string_view name = text;
      int number = 0;
      if (absl::ConsumePrefix(&name, "gen-") && absl::SimpleAtoi(name, &number)) {
        newest = std::max(newest, number);
      }
    }
  }
  return newest;
}

int Sight::Saves() {
  std::error_code ignored;
  bool now = false;
  for (const auto& entry : fs::directory_iterator(folder_ + "/checkpoints", ignored)) {
    const std::string name = entry.path().filename().string();
    if (!absl::StartsWith(name, ".tmp-step-")) continue;
    saves_.insert(name);
    now = true;
  }
  return now ? static_cast<int>(saves_.size()) : 0;
}

}  // namespace lockstep::testing
