#include "runtime/train/poison.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/train/json_line.h"
#include "runtime/train/line_log.h"

namespace lockstep::train {
namespace {

constexpr char kStageDecode[] = "decode", kStageLane[] = "lane";

absl::Status AddToJournal(FileSystem* fs, const std::string& path, absl::Span<const WorkMark> marks,
                          int64_t attempt) {
  ASSIGN_OR_RETURN(const auto journal, LineLog::Open(fs, path));
  for (const WorkMark& mark : marks) RETURN_IF_ERROR(journal->Append(DeathLine(mark, attempt)));
  return journal->Sync();
}

}  // namespace

std::string DeathLine(const WorkMark& mark, int64_t attempt) {
  JsonLine line;
  line.Integer("step", mark.step).Integer("lane", mark.lane);
  line.String("stage", mark.stage == WorkStage::kDecode ? kStageDecode : kStageLane);
  line.Integer("item", mark.item).Integer("attempt", attempt);
  return line.Text();
}

Deaths NewestDeaths(absl::string_view journal) {
  Deaths newest;
  for (absl::string_view line : absl::StrSplit(journal, '\n', absl::SkipEmpty())) {
    const auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    const auto integer = [&](const char* name, int64_t* value) {
      if (!json.is_object() || !json.contains(name) || !json[name].is_number_integer()) return false;
      *value = json[name].get<int64_t>();
      return true;
    };
    WorkMark mark;
    int64_t lane = 0, attempt = 0;
    if (!integer("step", &mark.step) || !integer("lane", &lane) || !integer("item", &mark.item) ||
        !integer("attempt", &attempt) || !json.contains("stage") || !json["stage"].is_string() ||
        attempt < newest.attempt) {
      continue;
    }
    mark.lane = static_cast<int>(lane);
    mark.stage = json["stage"] == kStageDecode ? WorkStage::kDecode : WorkStage::kLane;
    if (attempt > newest.attempt) newest.marks.clear();
    newest.attempt = attempt;
    newest.marks.push_back(mark);
  }
  return newest;
}

std::vector<WorkMark> AtTheSamePlace(absl::Span<const WorkMark> before, absl::Span<const WorkMark> now) {
  std::vector<WorkMark> same;
  for (const WorkMark& mark : now) {
    if (std::find(before.begin(), before.end(), mark) != before.end()) same.push_back(mark);
  }
  return same;
}

absl::StatusOr<std::vector<WorkMark>> CollectDeaths(FileSystem* fs, const std::string& folder,
                                                    const std::string& journal_path, Logger* log) {
  if (!fs->Exists(folder)) return std::vector<WorkMark>();
  ASSIGN_OR_RETURN(const std::vector<FileInfo> files, fs->List(folder));
  std::vector<WorkMark> now;
  for (const FileInfo& file : files) {
    const std::string path = JoinPath(folder, file.name);
    const auto marks = ReadMarksOfTheDead(path);
    if (!marks.ok()) {
      log->Warning(marks.status().message());
      continue;
    }
    if (!marks->has_value()) continue;
    now.insert(now.end(), (*marks)->begin(), (*marks)->end());
    RETURN_IF_ERROR(fs->Delete(path));
  }
  if (now.empty()) return now;
  Deaths before;
  const auto journal = ReadWholeFile(fs, journal_path);
  if (journal.ok()) before = NewestDeaths(*journal);
  RETURN_IF_ERROR(AddToJournal(fs, journal_path, now, before.attempt + 1));
  return AtTheSamePlace(before.marks, now);
}

}  // namespace lockstep::train
