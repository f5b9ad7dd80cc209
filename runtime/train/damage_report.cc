#include "runtime/train/damage_report.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/bootstrap.h"
#include "runtime/train/json_line.h"

namespace lockstep::train {

std::string DamageObjects(absl::Span<const data::DamagedSample> samples) {
  std::vector<std::string> objects;
  for (const data::DamagedSample& sample : samples) {
    JsonLine line;
    line.Integer("position", sample.position).Integer("id", sample.sample);
    if (sample.instead >= 0) {
      line.Integer("instead", sample.instead);
    } else {
      line.Raw("instead", "null");
    }
    const data::RecordDamage& record = sample.record;
    line.String("file", record.path).Integer("byte", static_cast<int64_t>(record.offset));
    line.Integer("record", record.record).String("part", record.in_length ? "length" : "payload");
    line.String("stored", absl::StrCat(absl::Hex(record.stored, absl::kZeroPad8)));
    line.String("computed", absl::StrCat(absl::Hex(record.computed, absl::kZeroPad8)));
    objects.push_back(line.Text());
  }
  return absl::StrJoin(objects, ", ");
}

absl::StatusOr<std::string> GatherDamage(comm::Communicator& communicator,
                                         absl::Span<const data::DamagedSample> samples) {
  ASSIGN_OR_RETURN(std::vector<std::string> all, comm::AllGatherText(communicator, DamageObjects(samples)));
  std::erase_if(all, [](const std::string& text) { return text.empty(); });
  return absl::StrCat("[", absl::StrJoin(all, ", "), "]");
}

std::string FirstOf(absl::string_view array, int64_t count) {
  constexpr size_t kShown = 8;
  size_t end = 0, shown = 0;
  while (shown < kShown && end != absl::string_view::npos) {
    const size_t at = array.find("}, {", end);
    ++shown;
    if (at == absl::string_view::npos) return std::string(array);
    end = at + 1;
  }
  return absl::StrCat(array.substr(0, end), ", and ", count - static_cast<int64_t>(shown), " more]");
}

}  // namespace lockstep::train
