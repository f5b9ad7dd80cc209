#include "runtime/core/names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lockstep {
namespace {

// Damerau-Levenshtein distance (adjacent swaps count once).
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

bool MatchesGlob(absl::string_view text, absl::string_view glob) {
  size_t t = 0, g = 0, star = absl::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != absl::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace

std::vector<std::string> NearestNames(absl::string_view name, absl::Span<const std::string> known) {
  const int limit = std::max<int>(2, static_cast<int>(name.size()) / 3);
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& candidate : known) {
    const int distance = EditDistance(name, candidate);
    if (distance <= limit) ranked.emplace_back(distance, candidate);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> nearest;
  for (size_t i = 0; i < ranked.size() && i < 3; ++i) nearest.push_back(ranked[i].second);
  return nearest;
}

std::string Suggestion(absl::string_view name, absl::Span<const std::string> known) {
  const std::vector<std::string> nearest = NearestNames(name, known);
  if (!nearest.empty()) return absl::StrCat("; did you mean '", absl::StrJoin(nearest, "' or '"), "'?");
  const size_t shown = std::min<size_t>(known.size(), 20);
  return absl::StrCat("; known: ", absl::StrJoin(known.subspan(0, shown), ", "),
                      shown < known.size() ? ", ..." : "");
}

bool MatchesPattern(absl::string_view text, absl::string_view pattern) {
  for (absl::string_view glob : absl::StrSplit(pattern, '|')) {
    if (MatchesGlob(text, glob)) return true;
  }
  return false;
}

}  // namespace lockstep
