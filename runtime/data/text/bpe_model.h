// Byte-pair encoding: bytes of a word to tokens by a ranked list of merges (Sennrich et al. 2016).
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_BPE_MODEL_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_BPE_MODEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

// Immutable and thread-safe.
class BpeModel {
 public:
  // Errors: DataError for a byte without a token, and for a merge of, or into, a token that does not exist.
  static absl::StatusOr<BpeModel> Create(const TokenizerSpec& spec);

  // Words that were encoded before, for whoever encodes many; one a thread, bounded.
  class Cache {
   private:
    friend class BpeModel;
    absl::flat_hash_map<std::string, std::pair<uint32_t, uint32_t>> words_;  // first id and how many
    std::vector<int32_t> ids_;
  };

  // Appends the tokens of `word`: again and again the pair of neighbours with the best rank is merged, the
  // leftmost first. O(n log n) for n bytes.
  void Encode(absl::string_view word, Cache* cache, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  const Merge* Find(int32_t left, int32_t right) const {
    const auto at = merges_.find(Key(left, right));
    return at == merges_.end() ? nullptr : &at->second;
  }
  void MergeShort(absl::string_view word, std::vector<int32_t>* ids) const;
  void MergeLong(absl::string_view word, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> byte_ids_ = {};
  absl::flat_hash_map<uint64_t, Merge> merges_;
  absl::flat_hash_map<std::string, int32_t> whole_;  // with ignore_merges: the vocabulary as bytes
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_BPE_MODEL_H_
