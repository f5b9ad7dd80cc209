#include "tests/house/layers.h"

#include <algorithm>
#include <cctype>
#include <regex>
#include <sstream>

namespace lockstep::house {
namespace {

// The installed headers: users see them as <lockstep/...>, so they may name nothing else of ours, and no
// library.
constexpr std::string_view kInstalledFolder = "runtime/api/include/";
constexpr std::string_view kInstalledPrefix = "lockstep/";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string Join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Adds to each layer what the layers that it names may include, until nothing changes.
void Close(LayerTable& table) {
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& [layer, allowed] : table) {
      const std::set<std::string> named = allowed;
      for (const std::string& other : named) {
        for (const std::string& below : table[other]) changed |= allowed.insert(below).second;
      }
    }
  }
}

struct Include {
  int line;
  std::string path;
  bool quoted;
};

std::vector<Include> IncludesOf(std::string_view text) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
  std::vector<Include> includes;
  int number = 0;
  for (const std::string& line : Lines(text)) {
    ++number;
    std::smatch match;
    if (std::regex_search(line, match, pattern)) includes.push_back({number, match[2], match[1] == "\""});
  }
  return includes;
}

std::string At(const Source& source, int line) { return source.path + ":" + std::to_string(line) + ": "; }

}  // namespace

LayerTable ReadLayerTable(std::string_view design) {
  static const std::regex start(R"(^([a-z_]+(/[a-z_]+)*)/ {2,}\S)");
  static const std::regex arrow(R"(<- ([a-z_/, ]+)\s*$)");
  LayerTable table;
  std::string layer;  // of the entry that is being read; empty between entries
  for (const std::string& line : Lines(design)) {
    std::smatch match;
    if (std::regex_search(line, match, start)) layer = match[1];
    if (layer.empty() || !std::regex_search(line, match, arrow)) continue;
    std::set<std::string>& allowed = table[layer];
    allowed.insert(layer);
    std::istringstream names(match[1].str());
    for (std::string name; std::getline(names >> std::ws, name, ',');) {
      while (!name.empty() && name.back() == ' ') name.pop_back();
      if (name != "nothing") allowed.insert(name);
    }
    layer.clear();
  }
  for (const auto& [entry, allowed] : table) {
    for (const std::string& name : allowed) {
      if (table.count(name) == 0) return {};
    }
  }
  Close(table);
  return table;
}

std::optional<std::string> LayerOf(std::string_view path, const LayerTable& table) {
  std::optional<std::string> best;
  for (const auto& [layer, allowed] : table) {
    if (StartsWith(path, layer + "/") && (!best || layer.size() > best->size())) best = layer;
  }
  return best;
}

std::vector<std::string> CheckIncludes(const Source& source, const LayerTable& table) {
  std::vector<std::string> found;
  const bool installed = StartsWith(source.path, kInstalledFolder);
  const std::optional<std::string> layer = LayerOf(source.path, table);
  for (const Include& include : IncludesOf(source.text)) {
    const bool ours_installed = StartsWith(include.path, kInstalledPrefix);
    if (installed || layer == "examples") {
      // Standard headers have neither a folder nor an ending.
      if (ours_installed || (!include.quoted && include.path.find_first_of("./") == std::string::npos))
        continue;
      found.push_back(At(source, include.line) + "includes " + include.path +
                      "; only the standard library and lockstep/*.h may be seen here");
      continue;
    }
    if (!layer) continue;
    const std::string target = ours_installed ? "runtime/api/" + include.path : include.path;
    const std::optional<std::string> other = LayerOf(target, table);
    const bool is_test = StartsWith(target, "tests/") || StartsWith(target, "scripts/");
    if (!is_test && (!other || table.at(*layer).count(*other) > 0)) continue;
    found.push_back(At(source, include.line) + *layer + " includes " + include.path +
                    "; it may include only " + Join(table.at(*layer)) + " (docs/DESIGN.md, section 3)");
  }
  return found;
}

std::vector<std::string> CheckGuard(const Source& source) {
  if (!EndsWith(source.path, ".h") && !EndsWith(source.path, ".cuh")) return {};
  std::string_view path = source.path;
  if (StartsWith(path, kInstalledFolder))
    path.remove_prefix(kInstalledFolder.size() + kInstalledPrefix.size());
  std::string guard = "LOCKSTEP_";
  for (char c : path)
    guard += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::toupper(c)) : '_';
  guard += '_';
  int number = 0;
  const std::vector<std::string> lines = Lines(source.text);
  for (const std::string& line : lines) {
    ++number;
    if (!StartsWith(line, "#")) continue;  // the comment at the head
    // Highway's way: such a header is included once for each instruction set.
    if (EndsWith(path, "-inl.h") && line == "#if defined(" + guard + ") == defined(HWY_TARGET_TOGGLE)")
      return {};
    if (line == "#ifndef " + guard && number < static_cast<int>(lines.size()) &&
        lines[number] == "#define " + guard) {
      return {};
    }
    break;
  }
  return {At(source, number) + "the include guard must be " + guard};
}

std::vector<std::string> CheckSize(const Source& source) {
  const auto lines = std::count(source.text.begin(), source.text.end(), '\n');
  if (lines <= kMaxLines) return {};
  return {At(source, kMaxLines) + std::to_string(lines) + " lines; at most " + std::to_string(kMaxLines) +
          ", and better 300: make two rooms of it"};
}

}  // namespace lockstep::house
