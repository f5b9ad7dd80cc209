// RFC 4180: cells between commas, quoted ones with doubled quotes.
#include "absl/strings/str_cat.h"
#include "runtime/data/make_typed.h"

namespace lockstep::data {
namespace {

// A quoted cell whose opening quote was taken.
absl::StatusOr<std::string> TakeQuoted(absl::string_view* text, int64_t* lines) {
  std::string cell;
  while (!text->empty()) {
    const char c = text->front();
    text->remove_prefix(1);
    if (c == '\n') ++*lines;
    if (c != '"') {
      cell.push_back(c);
      continue;
    }
    if (text->empty() || text->front() != '"') return cell;
    cell.push_back('"');
    text->remove_prefix(1);
  }
  return DataError("a quote is never closed");
}

bool EndsLine(absl::string_view text) {
  return text.empty() || text.front() == '\n' || (text.front() == '\r' && text.size() > 1 && text[1] == '\n');
}

}  // namespace

absl::StatusOr<std::vector<std::string>> TakeCsvRecord(absl::string_view* text, int64_t* lines) {
  std::vector<std::string> cells;
  while (true) {
    std::string cell;
    if (!text->empty() && text->front() == '"') {
      text->remove_prefix(1);
      ASSIGN_OR_RETURN(cell, TakeQuoted(text, lines));
      if (!EndsLine(*text) && text->front() != ',')
        return DataError(absl::StrCat("'", text->substr(0, 1), "' stands behind a closing quote"));
    } else {
      while (!EndsLine(*text) && text->front() != ',') {
        cell.push_back(text->front());
        text->remove_prefix(1);
      }
    }
    cells.push_back(std::move(cell));
    if (text->empty() || text->front() != ',') break;
    text->remove_prefix(1);
  }
  if (!text->empty() && text->front() == '\r') text->remove_prefix(1);
  if (!text->empty()) {
    text->remove_prefix(1);
    ++*lines;
  }
  return cells;
}

}  // namespace lockstep::data
