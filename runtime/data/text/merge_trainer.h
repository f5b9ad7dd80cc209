// The learning that byte-pair encoding and WordPiece have in common: which pairs of neighbouring tokens
// become one.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_MERGE_TRAINER_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_MERGE_TRAINER_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

struct MergeWord {
  std::vector<int32_t> tokens;  // ids, places in spec->vocabulary
  int64_t count = 0;            // how often the word occurs
};

// Again and again the pair of neighbouring tokens that occurs most often becomes one token; of pairs that
// occur equally often the one of the lower first id, then of the lower second id. Appends the new tokens to
// spec->vocabulary, until it holds `vocabulary` of them or all words are whole, and each pair to
// spec->merges. A token that goes on within a word begins with `prefix`, which a merge drops from its second
// token. The order of the words does not matter.
void LearnMerges(std::vector<MergeWord> words, int32_t vocabulary, absl::string_view prefix,
                 TokenizerSpec* spec);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_MERGE_TRAINER_H_
