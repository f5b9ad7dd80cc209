// The rules of the house that a machine can check: who may include whom, guard names, file sizes.
#ifndef LOCKSTEP_TESTS_HOUSE_LAYERS_H_
#define LOCKSTEP_TESTS_HOUSE_LAYERS_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::house {

// Layer ("runtime/data") -> the layers that it may include: itself, those named, and theirs in turn.
using LayerTable = std::map<std::string, std::set<std::string>, std::less<>>;

// Reads the table out of the text of docs/DESIGN.md, section 3: an entry starts at the beginning of a line
// with "folder/  ", and ends with "<- layer, layer" or "<- nothing". Empty where there is none or it names an
// unknown layer.
LayerTable ReadLayerTable(std::string_view design);

// A source file: its path from the root of the tree, and its text.
struct Source {
  std::string path;
  std::string text;
};

// The layer that `path` belongs to: the longest entry that is its folder. None: not bound by the table
// (tests, scripts).
std::optional<std::string> LayerOf(std::string_view path, const LayerTable& table);

// Each returns one line of text a violation: "file:line: what; what would be right".
std::vector<std::string> CheckIncludes(const Source& source, const LayerTable& table);
std::vector<std::string> CheckGuard(const Source& source);  // headers only
std::vector<std::string> CheckSize(const Source& source);   // at most kMaxLines

inline constexpr int kMaxLines = 600;

}  // namespace lockstep::house

#endif  // LOCKSTEP_TESTS_HOUSE_LAYERS_H_
