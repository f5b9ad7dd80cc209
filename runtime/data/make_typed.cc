#include "runtime/data/make_typed.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "proto/example.pb.h"
#include "runtime/core/names.h"
#include "runtime/data/make_parts.h"

namespace lockstep::data {
namespace {

using Json = nlohmann::json;
using Type = TypedColumn::Type;

// Values of a row, of each column: texts as they stand in the input.
struct Row {
  int64_t line = 0;
  std::vector<std::vector<std::string>> values;
};

absl::Status At(const std::string& path, int64_t line, absl::string_view what) {
  return DataError(absl::StrCat(path, ", line ", line, ": ", what));
}

// Where each column stands in the heading.
absl::StatusOr<std::vector<size_t>> FindColumns(const TypedOptions& options,
                                                const std::vector<std::string>& heading) {
  std::vector<size_t> places;
  for (const TypedColumn& column : options.columns) {
    const auto at = std::find(heading.begin(), heading.end(), column.source);
    if (at == heading.end()) {
      return DataError(absl::StrCat(options.input, ", line 1: there is no column '", column.source, "'",
                                    Suggestion(column.source, heading)));
    }
    places.push_back(static_cast<size_t>(at - heading.begin()));
  }
  return places;
}

absl::StatusOr<std::vector<Row>> ReadCsv(const TypedOptions& options, absl::string_view text) {
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");  // a byte-order mark
  int64_t line = 1;
  auto heading = TakeCsvRecord(&text, &line);
  if (!heading.ok()) return At(options.input, 1, heading.status().message());
  ASSIGN_OR_RETURN(const std::vector<size_t> places, FindColumns(options, *heading));
  std::vector<Row> rows;
  while (!text.empty()) {
    Row row{line, {}};
    auto cells = TakeCsvRecord(&text, &line);
    if (!cells.ok()) return At(options.input, row.line, cells.status().message());
    if (cells->size() == 1 && cells->front().empty()) continue;  // an empty line
    if (cells->size() != heading->size()) {
      return At(options.input, row.line,
                absl::StrCat("there are ", cells->size(), " cells for the ", heading->size(),
                             " columns of line 1"));
    }
    for (const size_t place : places) {
      const std::string& cell = (*cells)[place];
      row.values.emplace_back();
      if (!cell.empty() && cell != options.missing) row.values.back().push_back(cell);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// A JSON value as a text of the column's type. False where it is none.
bool AddJson(const Json& value, Type type, std::vector<std::string>* texts) {
  if (value.is_string()) {
    if (type == Type::kInt || type == Type::kFloat) return false;
    texts->push_back(value.get<std::string>());
    return true;
  }
  if (value.is_boolean()) {
    if (type == Type::kFloat) return false;
    texts->push_back(type == Type::kInt ? (value.get<bool>() ? "1" : "0") : value.dump());
    return true;
  }
  if (!value.is_number() || (type == Type::kInt && !value.is_number_integer())) return false;
  texts->push_back(value.dump());
  return true;
}

absl::StatusOr<std::vector<Row>> ReadJsonLines(const TypedOptions& options, absl::string_view text) {
  std::vector<Row> rows;
  int64_t line = 0;
  for (const absl::string_view content : absl::StrSplit(text, '\n')) {
    ++line;
    if (absl::StripAsciiWhitespace(content).empty()) continue;
    const Json object = Json::parse(content, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) return At(options.input, line, "this is no JSON object");
    Row row{line, {}};
    for (const TypedColumn& column : options.columns) {
      std::vector<std::string>& texts = row.values.emplace_back();
      const auto at = object.find(column.source);
      if (at == object.end() || at->is_null()) continue;
      const Json values = at->is_array() ? *at : Json::array({*at});
      for (const Json& value : values) {
        if (!AddJson(value, column.type, &texts)) {
          return At(options.input, line,
                    absl::StrCat("'", column.source, "' is ",
                                 value.dump(-1, ' ', false, Json::error_handler_t::replace),
                                 ", which is no value of its type"));
        }
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

using Categories = std::map<std::string, int64_t>;

// Of each category column the different values, numbered in the order of their bytes.
std::vector<Categories> FindCategories(const TypedOptions& options, const std::vector<Row>& rows) {
  std::vector<Categories> categories(options.columns.size());
  for (size_t i = 0; i < options.columns.size(); ++i) {
    if (options.columns[i].type != Type::kCategory) continue;
    for (const Row& row : rows) {
      for (const std::string& value : row.values[i]) categories[i][value] = 0;
    }
    int64_t next = 0;
    for (auto& [value, number] : categories[i]) number = next++;
  }
  return categories;
}

absl::Status AddValue(const TypedColumn& column, const std::string& text, const Categories& categories,
                      records::Feature* feature) {
  int64_t integer = 0;
  float number = 0;
  switch (column.type) {
    case Type::kInt:
      if (!absl::SimpleAtoi(text, &integer)) break;
      feature->mutable_int64_list()->add_value(integer);
      return absl::OkStatus();
    case Type::kFloat:
      if (!absl::SimpleAtof(text, &number)) break;
      feature->mutable_float_list()->add_value(number);
      return absl::OkStatus();
    case Type::kString:
      feature->mutable_bytes_list()->add_value(text);
      return absl::OkStatus();
    case Type::kCategory:
      feature->mutable_int64_list()->add_value(categories.at(text));
      return absl::OkStatus();
  }
  return DataError(absl::StrCat("column '", column.source, "': '", text, "' is not ",
                                column.type == Type::kInt ? "an integer" : "a number"));
}

absl::StatusOr<std::string> RecordOf(const TypedOptions& options, const Row& row,
                                     const std::vector<Categories>& categories) {
  records::Example example;
  for (size_t i = 0; i < options.columns.size(); ++i) {
    if (row.values[i].empty()) continue;
    records::Feature& feature = (*example.mutable_features()->mutable_feature())[options.columns[i].feature];
    for (const std::string& text : row.values[i]) {
      const absl::Status added = AddValue(options.columns[i], text, categories[i], &feature);
      if (!added.ok()) return At(options.input, row.line, added.message());
    }
  }
  return SerializeExample(example);
}

bool LacksCategory(const TypedOptions& options, const Row& row) {
  for (size_t i = 0; i < options.columns.size(); ++i) {
    if (options.columns[i].type == Type::kCategory && row.values[i].empty()) return true;
  }
  return false;
}

absl::Status WriteCategories(FileSystem* fs, const TypedOptions& options,
                             const std::vector<Categories>& categories, const MakeTarget& target,
                             std::ostream& out) {
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(target.out)));
  for (size_t i = 0; i < categories.size(); ++i) {
    if (options.columns[i].type != Type::kCategory) continue;
    std::string lines;
    for (const auto& [value, number] : categories[i]) absl::StrAppend(&lines, value, "\n");
    const std::string path = absl::StrCat(target.out, "-", options.columns[i].feature, ".txt");
    RETURN_IF_ERROR(WriteFileAtomically(fs, path, lines));
    out << path << ": " << categories[i].size() << " categories\n";
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TypedColumn> ParseTypedColumn(const std::string& text) {
  static const std::map<std::string, Type> types = {
      {"int", Type::kInt}, {"float", Type::kFloat}, {"string", Type::kString}, {"category", Type::kCategory}};
  const std::pair<std::string, std::string> halves = absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::pair<std::string, std::string> type = absl::StrSplit(halves.second, absl::MaxSplits('=', 1));
  const auto known = types.find(type.first);
  if (halves.first.empty() || known == types.end() ||
      (absl::StrContains(halves.second, '=') && type.second.empty())) {
    return ConfigError(absl::StrCat("'", text,
                                    "' is not NAME:TYPE or NAME:TYPE=COLUMN; types are int, float, string "
                                    "and category"));
  }
  return TypedColumn{halves.first, type.second.empty() ? halves.first : type.second, known->second};
}

absl::Status MakeFromTyped(FileSystem* fs, const TypedOptions& options, const MakeTarget& target,
                           std::ostream& out) {
  std::set<std::string> names;
  for (const TypedColumn& column : options.columns) {
    if (!names.insert(column.feature).second)
      return ConfigError(absl::StrCat("feature '", column.feature, "' is made twice"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadMakeInput(fs, options.input));
  ASSIGN_OR_RETURN(std::vector<Row> rows,
                   options.json ? ReadJsonLines(options, text) : ReadCsv(options, text));
  const size_t all = rows.size();
  rows.erase(
      std::remove_if(rows.begin(), rows.end(), [&](const Row& row) { return LacksCategory(options, row); }),
      rows.end());
  if (rows.size() < all) out << all - rows.size() << " rows without a category are left out\n";
  const std::vector<Categories> categories = FindCategories(options, rows);
  std::vector<std::string> train, test;
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSIGN_OR_RETURN(std::string record, RecordOf(options, rows[i], categories));
    const bool held_out = options.test_every > 0 && static_cast<int64_t>(i) % options.test_every == 0;
    (held_out ? test : train).push_back(std::move(record));
  }
  RETURN_IF_ERROR(WriteCategories(fs, options, categories, target, out));
  return WriteParts(fs, target, options.test_every > 0, train, test, out);
}

}  // namespace lockstep::data
