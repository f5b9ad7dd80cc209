// Writing of Hugging Face's tokenizer.json.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/data/text/tokenizer_file.h"

namespace lockstep::data {
namespace {

using Json = nlohmann::ordered_json;

Json ByteLevel(const TokenizerSpec& spec) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", spec.add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", spec.split_words}};
}

Json Normalizer(const TokenizerSpec& spec) {
  if (spec.model == TokenizerSpec::Model::kByteLevelBpe || !spec.normalize) return nullptr;
  const BertNormalization& options = spec.normalization;
  return {{"type", "BertNormalizer"},
          {"clean_text", options.clean_text},
          {"handle_chinese_chars", options.handle_chinese_characters},
          {"strip_accents", options.strip_accents},
          {"lowercase", options.lower_case}};
}

Json Model(const TokenizerSpec& spec) {
  Json model;
  if (spec.model == TokenizerSpec::Model::kByteLevelBpe) {
    model = {{"type", "BPE"},
             {"dropout", nullptr},
             {"unk_token", nullptr},
             {"continuing_subword_prefix", nullptr},
             {"end_of_word_suffix", nullptr},
             {"fuse_unk", false},
             {"byte_fallback", false},
             {"ignore_merges", spec.ignore_merges}};
  } else {
    model = {{"type", "WordPiece"},
             {"unk_token", spec.unknown},
             {"continuing_subword_prefix", spec.continuing_prefix},
             {"max_input_chars_per_word", spec.most_characters}};
  }
  auto vocabulary = spec.vocabulary;
  std::stable_sort(vocabulary.begin(), vocabulary.end(),
                   [](const auto& a, const auto& b) { return a.second < b.second; });
  // Through a list: looking every key up, as an ordered object does, would be quadratic.
  Json::object_t tokens;
  tokens.reserve(vocabulary.size());
  for (auto& [token, id] : vocabulary) tokens.Container::emplace_back(std::move(token), id);
  model["vocab"] = std::move(tokens);
  if (spec.model == TokenizerSpec::Model::kWordPiece) return model;
  Json merges = Json::array();
  for (const auto& [left, right] : spec.merges) merges.push_back(Json::array({left, right}));
  model["merges"] = std::move(merges);
  return model;
}

}  // namespace

std::string WriteTokenizerJson(const TokenizerSpec& spec) {
  const bool is_bpe = spec.model == TokenizerSpec::Model::kByteLevelBpe;
  Json added = Json::array();
  for (const AddedToken& token : spec.added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", token.strip_left},
                     {"rstrip", token.strip_right},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json words = is_bpe ? ByteLevel(spec) : Json{{"type", "BertPreTokenizer"}};
  Json decoder =
      is_bpe ? ByteLevel(spec)
             : Json{{"type", "WordPiece"}, {"prefix", spec.continuing_prefix}, {"cleanup", spec.clean_up}};
  const Json file = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", std::move(added)},
                     {"normalizer", Normalizer(spec)},
                     {"pre_tokenizer", std::move(words)},
                     {"post_processor", nullptr},
                     {"decoder", std::move(decoder)},
                     {"model", Model(spec)}};
  return file.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::data
