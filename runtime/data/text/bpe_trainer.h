// Learns the merges of byte-pair encoding from words and how often they occur.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_BPE_TRAINER_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_BPE_TRAINER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

struct BpeTrainerOptions {
  int32_t vocabulary = 0;  // tokens in all: special ones, 256 bytes, merges
  std::vector<std::string> special = {"<|endoftext|>"};
};

// A byte-level BPE. Texts are added in any order; only the counts of their words matter. Not thread-safe.
//
// Again and again the pair of neighbouring tokens that occurs most often becomes one token; of pairs that
// occur equally often the one of the lower first id, then of the lower second id. Ids: special tokens, the
// bytes in the order of their characters, merges. Hugging Face's BpeTrainer learns the same from the same
// text.
class BpeTrainer {
 public:
  explicit BpeTrainer(BpeTrainerOptions options) : options_(std::move(options)) {}

  void Add(absl::string_view text);

  // Fewer tokens than asked for where the words are all whole before. Error: ConfigError for a vocabulary
  // that does not hold the special tokens and the bytes.
  absl::StatusOr<TokenizerSpec> Train() const;

 private:
  const BpeTrainerOptions options_;
  absl::flat_hash_map<std::string, int64_t> words_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_BPE_TRAINER_H_
