// Any bytes as text: byte-level BPE gives every byte back, WordPiece takes them in bounded space.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/data/text/tokenizer.h"
#include "runtime/data/text/tokenizer_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

auto Golden(const std::string& name) {
  const auto json =
      ReadWholeFile(RealFileSystem(),
                    absl::StrCat(LOCKSTEP_SOURCE_DIR, "/tests/testing/golden/tokenizers/", name, ".json"));
  Require(json.ok(), "the golden tokenizers are there", json.status().ToString());
  return *data::Tokenizer::Create(*data::ParseTokenizerJson(*json, name));
}

void CheckBytePair(const std::string& input) {
  static const auto* const tokenizer = new auto(Golden("bpe"));
  static auto* const cache = new data::Tokenizer::Cache;
  std::vector<int32_t> ids;
  (*tokenizer)->Encode(input, &ids, cache);
  // The one token that takes blanks along with it.
  if (input.find("<mask>") != std::string::npos) return;
  Require((*tokenizer)->Decode(ids) == input, "byte-level BPE loses no byte");
}

void CheckWordPiece(const std::string& input) {
  static const auto* const tokenizers = new std::vector{Golden("cased"), Golden("uncased")};
  for (const auto& tokenizer : *tokenizers) {
    std::vector<int32_t> ids;
    tokenizer->Encode(input, &ids);
    Require(ids.size() <= 4 * input.size() + 1, "there are not many more tokens than bytes");
    tokenizer->Decode(ids);
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {"it's  two\n\n words",
          "caf\xc3\xa9 \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80",
          "\xff\xfe\x80",
          std::string(100, 'a'),
          "The na\xc3\xafve caf\xc3\xa9, \xe6\xbc\xa2 \xed\x95\x9c",
          "\xe3\x80\xae\xcc\xa3\xff"};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep::testing;
  const std::string input(FuzzText(data, size));
  CheckBytePair(input);
  CheckWordPiece(input);
  NoteReached();
  return 0;
}
