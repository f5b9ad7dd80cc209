// "Did you mean": the nearest valid names to one that is not.
#ifndef LOCKSTEP_RUNTIME_CORE_NAMES_H_
#define LOCKSTEP_RUNTIME_CORE_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

// Up to three of `known` within a third of the name's length in edits (insert, delete, replace, swap),
// nearest first.
std::vector<std::string> NearestNames(absl::string_view name, absl::Span<const std::string> known);

// "; did you mean 'global_batch'?" when something is near, else "; known: a, b, c" (cut after 20).
std::string Suggestion(absl::string_view name, absl::Span<const std::string> known);

// Whether `text` matches a shell-like pattern of '*' and '?', with alternatives separated by '|'.
bool MatchesPattern(absl::string_view text, absl::string_view pattern);

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_NAMES_H_
