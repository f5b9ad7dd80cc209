// What data.columns may say. What depends on the statistics is checked where the data is opened.
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

absl::Status CheckNumeric(const std::string& path, const NumericColumn& numeric, bool* statistics) {
  const bool given = numeric.mean_size() + numeric.std_size() > 0;
  if (numeric.normalize() != NumericColumn::AS_IS) {
    if (given) return Wrong(path, "both normalize and mean or std are given; keep one");
    *statistics = true;
  }
  for (const float std : numeric.std()) RETURN_IF_ERROR(Above(path + ".std", std, 0));
  return absl::OkStatus();
}

absl::Status CheckBuckets(const std::string& path, const BucketsColumn& buckets, bool* statistics) {
  if ((buckets.boundary_size() > 0) == buckets.has_quantiles())
    return Wrong(path, "give either boundary or quantiles");
  if (!buckets.has_quantiles()) return absl::OkStatus();
  *statistics = true;
  const int count = buckets.quantiles();
  if (count >= 2 && count <= 100 && 100 % count == 0) return absl::OkStatus();
  return Wrong(path + ".quantiles", absl::StrCat(count, " is not 2, 4, 5, 10, 20, 25, 50 or 100"));
}

absl::Status CheckVocabulary(const std::string& path, const VocabularyColumn& vocabulary, bool* statistics) {
  if (vocabulary.value_size() == 0) *statistics = true;
  if (vocabulary.has_most() && vocabulary.value_size() > 0)
    return Wrong(path, "both value and most are given; keep one");
  if (vocabulary.has_most()) RETURN_IF_ERROR(AtLeast(path + ".most", vocabulary.most(), 1));
  return AtLeast(path + ".unknown_buckets", vocabulary.unknown_buckets(), 0);
}

absl::Status CheckKind(const std::string& path, const Column& column, bool* statistics) {
  switch (column.kind_case()) {
    case Column::kNumeric:
      if (column.use_case() != Column::USE_NOT_SET)
        return Wrong(path, "a number goes into the model as it is: leave out one_hot, embedding and linear");
      return CheckNumeric(path + ".numeric", column.numeric(), statistics);
    case Column::kBuckets:
      return CheckBuckets(path + ".buckets", column.buckets(), statistics);
    case Column::kIdentity:
      return Count(path + ".identity.rows", column.identity().has_rows(), column.identity().rows());
    case Column::kVocabulary:
      return CheckVocabulary(path + ".vocabulary", column.vocabulary(), statistics);
    case Column::kHashed:
      return Count(path + ".hashed.rows", column.hashed().has_rows(), column.hashed().rows());
    case Column::kCrossed:
      RETURN_IF_ERROR(AtLeast(path + ".crossed.key, how many,", column.crossed().key_size(), 2));
      return Count(path + ".crossed.rows", column.crossed().has_rows(), column.crossed().rows());
    case Column::KIND_NOT_SET:
      break;
  }
  return Wrong(path, "give its kind: numeric, buckets, identity, vocabulary, hashed or crossed");
}

}  // namespace

absl::Status CheckColumns(const ColumnData& columns) {
  RETURN_IF_ERROR(Needed("data.columns.column", columns.column_size() > 0));
  for (int i = 0; i < columns.column_size(); ++i) {
    const Column& column = columns.column(i);
    const std::string path = absl::StrCat("data.columns.column[", i, "]");
    if (column.has_crossed() && column.has_feature())
      return Wrong(path + ".feature", "a cross has keys, and no feature of its own");
    if (!column.has_crossed()) RETURN_IF_ERROR(Needed(path + ".feature", !column.feature().empty()));
    if (column.has_length()) RETURN_IF_ERROR(AtLeast(path + ".length", column.length(), 1));
    bool statistics = false;
    RETURN_IF_ERROR(CheckKind(path, column, &statistics));
    if (statistics && columns.statistics().empty()) {
      return Wrong("data.columns.statistics",
                   absl::StrCat("is required, since ", path,
                                " takes something from it; `lockstep records stat TRAIN "
                                "--out FILE` makes it"));
    }
    if (column.has_embedding()) {
      RETURN_IF_ERROR(
          Count(path + ".embedding.width", column.embedding().has_width(), column.embedding().width()));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
