// The tokens of all records, one behind the other.
#ifndef LOCKSTEP_RUNTIME_DATA_TOKEN_TEXT_H_
#define LOCKSTEP_RUNTIME_DATA_TOKEN_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/status.h"
#include "runtime/data/sources.h"

namespace lockstep::data {

// Immutable once loaded, and then thread-safe. `Id` is uint16_t where all ids fit, else uint32_t.
template <typename Id>
class TokenText {
 public:
  // `options` as MakeTokenSource checked them; ids lie in [0, vocabulary).
  TokenText(std::shared_ptr<const Dataset> dataset, TokenOptions options, int64_t vocabulary);

  // Reads all records, with several threads; what comes out does not depend on how many. `separator` follows
  // each.
  absl::Status Load(std::optional<int32_t> separator);

  const TokenOptions& options() const { return options_; }
  const Dataset& dataset() const { return *dataset_; }
  const std::string& fingerprint() const { return fingerprint_; }  // of the records and the tokenizer
  const Id* ids() const { return ids_.data(); }
  size_t size() const { return ids_.size(); }
  size_t records() const { return ends_.size(); }
  size_t Begin(size_t record) const { return record == 0 ? 0 : ends_[record - 1]; }  // of its tokens
  size_t End(size_t record) const { return ends_[record]; }                          // with its separator
  std::string Describe(size_t token) const;  // "a.tfrecord, record 3, token 17"

  // Bytes that a token stands for; call it only where the tokenizer loses none (HasSizes).
  bool HasSizes() const { return options_.tokenizer != nullptr && options_.tokenizer->lossless(); }
  int64_t SizeBytes(Id id) const { return options_.tokenizer->size_bytes(static_cast<int32_t>(id)); }

 private:
  absl::Status ReadAll(std::vector<std::vector<Id>>* records) const;

  const std::shared_ptr<const Dataset> dataset_;
  const TokenOptions options_;
  const int64_t vocabulary_;
  std::vector<Id> ids_;
  std::vector<size_t> ends_;  // tokens up to and with each record
  std::string fingerprint_;
};

extern template class TokenText<uint16_t>;
extern template class TokenText<uint32_t>;

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TOKEN_TEXT_H_
