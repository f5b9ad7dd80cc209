// Learns the pieces of WordPiece from words and how often they occur.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_TRAINER_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_TRAINER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

struct WordPieceTrainerOptions {
  int32_t vocabulary = 0;  // tokens in all: special ones, characters, merges
  std::vector<std::string> special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  BertNormalization normalization = {};
};

// BERT's tokenizer. Texts are added in any order; only the counts of their words, normalised and cut as BERT
// does it, matter. Not thread-safe.
//
// As Hugging Face's WordPieceTrainer: a word is its characters, those behind the first written "##c", and
// the most frequent pairs are merged (merge_trainer.h). Ids: special tokens, all characters by code point,
// those behind a first by code point, merges. That library numbers the latter characters anew in each
// process, and so breaks ties differently from run to run; here there is one answer, which is its answer
// where it is given that order (scripts/golden/make_word_piece.py).
class WordPieceTrainer {
 public:
  explicit WordPieceTrainer(WordPieceTrainerOptions options) : options_(std::move(options)) {}

  void Add(absl::string_view text);  // UTF-8

  // Fewer tokens than asked for where the words are all whole before. Error: ConfigError for a vocabulary
  // that does not hold the special tokens and the characters, saying how many these are.
  absl::StatusOr<TokenizerSpec> Train() const;

 private:
  const WordPieceTrainerOptions options_;
  absl::flat_hash_map<std::string, int64_t> words_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_TRAINER_H_
