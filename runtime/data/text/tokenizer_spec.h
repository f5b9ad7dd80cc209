// A tokenizer as files describe it: plain data, not yet checked for what only the whole can show.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_SPEC_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_SPEC_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::data {

// A token that is looked for in the text before anything else is done to it.
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool strip_left = false;   // takes the blanks before it along
  bool strip_right = false;  // and those behind it
  bool normalized = false;   // looked for in the normalised text, not in the raw one
  bool special = false;      // marks structure ("<|endoftext|>"), is no text
};

// BERT's normalisation of text, in this order.
struct BertNormalization {
  bool clean_text = true;                 // controls are taken away, blanks become spaces
  bool handle_chinese_characters = true;  // spaces around ideographs
  bool strip_accents = true;              // decomposed, non-spacing marks taken away
  bool lower_case = true;
};

struct TokenizerSpec {
  enum class Model { kByteLevelBpe, kWordPiece };
  Model model = Model::kByteLevelBpe;
  std::vector<std::pair<std::string, int32_t>> vocabulary;  // as written in the file, UTF-8
  std::vector<AddedToken> added;

  // Byte-level BPE.
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  bool add_prefix_space = false;                            // in front of a text that does not begin with one
  bool split_words = true;                                  // by GPT-2's pattern; false: a text is one word
  bool ignore_merges = false;  // a word that is in the vocabulary is taken as it is

  // WordPiece.
  std::string unknown = "[UNK]";
  std::string continuing_prefix = "##";
  int32_t most_characters = 100;  // longer words are unknown
  bool normalize = true;
  BertNormalization normalization;
  bool clean_up = true;  // decoding: no space before punctuation
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_SPEC_H_
