// The files that tokenizers come in. Untrusted: whatever they hold, reading them ends in a specification or
// in an error with file and place, and takes memory in proportion to their size.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_FILE_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_FILE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

// By the name of the file:
//   vocab.json   GPT-2's vocabulary, with merges.txt in the same folder ("<|endoftext|>" is special)
//   *.txt        BERT's vocabulary, a token a line; lower case, unless tokenizer_config.json in the same folder
//                says "do_lower_case": false ("[UNK]", "[CLS]", ... are special)
//   others       Hugging Face's tokenizer.json
// `vocab.json` and `*.txt` may have something in front ("gpt2-vocab.json" beside "gpt2-merges.txt").
// Errors: DataError with the path, and the place in the file.
absl::StatusOr<TokenizerSpec> ReadTokenizer(FileSystem* fs, const std::string& path);

// Hugging Face's tokenizer.json: the models BPE with the pre-tokenizer ByteLevel and without normalizer, and
// WordPiece with BertPreTokenizer and BertNormalizer or none. Anything else that would change a token is
// refused by name. `truncation`, `padding` and `post_processor` are passed over: they add and take away
// around a text, not in it. `name` is what errors call the text.
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(absl::string_view text, absl::string_view name);

// The other way; the same specification gives the same bytes.
std::string WriteTokenizerJson(const TokenizerSpec& spec);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_FILE_H_
