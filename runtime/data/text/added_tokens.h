// Finds added tokens ("<|endoftext|>", "[MASK]") in a text.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_ADDED_TOKENS_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

// Immutable and thread-safe.
class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Cuts `text`: `piece` is called for what lies between tokens (never empty), `token` for each token; the
  // leftmost is taken, of several there the longest.
  void Split(absl::string_view text, absl::FunctionRef<void(absl::string_view)> piece,
             absl::FunctionRef<void(int32_t)> token) const;

 private:
  std::vector<AddedToken> tokens_;                        // longest first
  std::array<std::vector<uint32_t>, 256> by_first_byte_;  // places in tokens_
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_ADDED_TOKENS_H_
