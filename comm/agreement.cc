// Small collectives of texts, on top of the communicator.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

#include "absl/strings/str_join.h"
#include "comm/bootstrap.h"
#include "comm/text_list.h"

namespace lockstep::comm {
namespace {

// "ranks 0, 2, 3", shortened when there are many.
std::string RanksText(const std::vector<int>& ranks) {
  constexpr size_t kShown = 8;
  const std::vector<int> shown(ranks.begin(), ranks.begin() + std::min(ranks.size(), kShown));
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(shown, ", "),
                      ranks.size() > kShown ? absl::StrCat(" and ", ranks.size() - kShown, " more") : "");
}

absl::StatusOr<std::vector<AgreementField>> Decode(absl::string_view packed) {
  std::vector<std::string> texts;
  if (!UnpackTexts(packed, texts) || texts.size() % 2 != 0) return absl::InternalError("malformed fields");
  std::vector<AgreementField> fields;
  for (size_t i = 0; i < texts.size(); i += 2) fields.push_back({texts[i], texts[i + 1]});
  return fields;
}

// Who says what, when not all say the same.
absl::Status CompareAll(absl::string_view what, const std::vector<std::string>& values) {
  std::map<std::string, std::vector<int>> holders;
  for (size_t rank = 0; rank < values.size(); ++rank) holders[values[rank]].push_back(static_cast<int>(rank));
  if (holders.size() <= 1) return absl::OkStatus();
  std::vector<std::string> sides;
  for (const auto& [value, ranks] : holders)
    sides.push_back(absl::StrCat("'", value, "' on ", RanksText(ranks)));
  return ConfigError(absl::StrCat("the ranks differ in ", what, ": ", absl::StrJoin(sides, "; ")));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> AllGatherText(Communicator& communicator, absl::string_view text) {
  const size_t ranks = communicator.size();
  const uint64_t size = text.size();
  std::vector<uint64_t> sizes(ranks);
  RETURN_IF_ERROR(communicator.AllGather({&size, 1, DType::kU64}, BufferOf(absl::MakeSpan(sizes))));
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());
  if (longest > (size_t{16} << 20))
    return absl::InvalidArgumentError("a text of more than 16 MiB is not gathered");
  std::vector<uint8_t> padded(longest), all(longest * ranks);
  if (!text.empty()) std::memcpy(padded.data(), text.data(), text.size());
  RETURN_IF_ERROR(communicator.AllGather(BufferOf(absl::MakeSpan(padded)), BufferOf(absl::MakeSpan(all))));
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < ranks; ++rank) {
    const auto begin = all.begin() + static_cast<ptrdiff_t>(rank * longest);
    texts.emplace_back(begin, begin + static_cast<ptrdiff_t>(sizes[rank]));
  }
  return texts;
}

absl::Status CheckAgreement(Communicator& communicator, absl::Span<const AgreementField> fields) {
  std::vector<std::string> mine;
  for (const AgreementField& field : fields) mine.insert(mine.end(), {field.field, field.value});
  ASSIGN_OR_RETURN(const auto texts, AllGatherText(communicator, PackTexts(mine)));
  std::vector<std::vector<AgreementField>> all;
  std::vector<std::string> counts;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(auto theirs, Decode(text));
    counts.push_back(absl::StrCat(theirs.size()));
    all.push_back(std::move(theirs));
  }
  RETURN_IF_ERROR(CompareAll("how many fields they compare", counts));
  for (size_t i = 0; i < fields.size(); ++i) {
    std::vector<std::string> names, values;
    for (const auto& theirs : all) {
      names.push_back(theirs[i].field);
      values.push_back(theirs[i].value);
    }
    RETURN_IF_ERROR(CompareAll("what they compare", names));
    RETURN_IF_ERROR(CompareAll(fields[i].field, values));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
