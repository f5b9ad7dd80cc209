#include "runtime/data/text/tokenizer_file.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep::data {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMostFileBytes = uint64_t{256} << 20;

// A value of the file and where it stands, for errors: "tokenizer.json: model.vocab".
class Node {
 public:
  Node(const Json* json, std::string place) : json_(json), place_(std::move(place)) {}

  const Json& json() const { return *json_; }
  bool is_null() const { return json_->is_null(); }
  absl::Status Error(absl::string_view what) const { return DataError(absl::StrCat(place_, ": ", what)); }
  absl::Status WrongType(absl::string_view wanted) const {
    return Error(absl::StrCat("is ", json_->type_name(), ", not ", wanted));
  }

  // Null where there is no such member.
  Node Get(absl::string_view name) const {
    static const Json null;
    const auto at = json_->is_object() ? json_->find(std::string(name)) : json_->end();
    return {json_->is_object() && at != json_->end() ? &*at : &null, Path(name)};
  }
  Node At(size_t i) const { return {&(*json_)[i], absl::StrCat(place_, "[", i, "]")}; }

  absl::StatusOr<bool> Bool(absl::string_view name, bool fallback) const {
    const Node node = Get(name);
    if (node.is_null()) return fallback;
    if (!node.json_->is_boolean()) return node.WrongType("true or false");
    return node.json_->get<bool>();
  }
  absl::StatusOr<std::string> String(absl::string_view name, absl::string_view fallback = "") const {
    const Node node = Get(name);
    if (node.is_null()) return std::string(fallback);
    if (!node.json_->is_string()) return node.WrongType("a string");
    return node.json_->get<std::string>();
  }
  absl::StatusOr<int32_t> Int() const {
    if (!json_->is_number_integer()) return WrongType("an integer");
    const bool fits = json_->is_number_unsigned()
                          ? json_->get<uint64_t>() <= uint64_t{std::numeric_limits<int32_t>::max()}
                          : json_->get<int64_t>() >= 0;
    if (!fits) return Error(absl::StrCat(json_->dump(), " is no id: ids are 0 to 2^31 - 1"));
    return static_cast<int32_t>(json_->get<int64_t>());
  }
  // What decides tokens and is not built must be as it is when left out.
  absl::Status MustBeOff(absl::string_view name) const {
    const Node node = Get(name);
    const Json& value = *node.json_;
    const bool is_off = value.is_null() || value == Json(false) || value == Json("") ||
                        (value.is_number() && value.get<double>() == 0);
    return is_off ? absl::OkStatus() : node.Error("is not supported");
  }

 private:
  std::string Path(absl::string_view name) const {
    return absl::StrCat(place_, absl::EndsWith(place_, ": ") ? "" : ".", name);
  }
  const Json* json_;
  std::string place_;
};

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view name) {
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {  // says line and column
    return DataError(absl::StrCat(name, " is no JSON: ", error.what()));
  }
}

absl::Status ReadVocabulary(const Node& vocabulary, TokenizerSpec* spec) {
  if (!vocabulary.json().is_object()) return vocabulary.WrongType("an object of tokens and ids");
  for (const auto& item : vocabulary.json().items()) {
    const absl::StatusOr<int32_t> id = Node(&item.value(), "").Int();
    if (!id.ok())
      return vocabulary.Error(absl::StrCat("the id of '", item.key(), "'", id.status().message()));
    spec->vocabulary.emplace_back(item.key(), *id);
  }
  return absl::OkStatus();
}

absl::Status ReadMerge(const Node& merge, TokenizerSpec* spec) {
  const Json& json = merge.json();
  if (json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string()) {
    spec->merges.emplace_back(json[0].get<std::string>(), json[1].get<std::string>());
    return absl::OkStatus();
  }
  if (!json.is_string()) return merge.WrongType("a string of two tokens, or a list of two");
  const std::vector<std::string> halves = absl::StrSplit(json.get<std::string>(), ' ');
  if (halves.size() != 2)
    return merge.Error(absl::StrCat("'", json.get<std::string>(), "' is not two tokens"));
  spec->merges.emplace_back(halves[0], halves[1]);
  return absl::OkStatus();
}

absl::StatusOr<std::string> TypeOf(const Node& node) {
  if (node.is_null()) return std::string();
  ASSIGN_OR_RETURN(std::string type, node.String("type"));
  if (type.empty()) return node.Error("has no type");
  return type;
}

absl::Status Refuse(const Node& node, absl::string_view type, absl::string_view built) {
  return node.Error(
      absl::StrCat(type.empty() ? "is missing" : absl::StrCat("'", type, "' is not supported"), "; ", built));
}

absl::Status ReadBpe(const Node& root, const Node& model, TokenizerSpec* spec) {
  const Node normalizer = root.Get("normalizer"), words = root.Get("pre_tokenizer");
  ASSIGN_OR_RETURN(const std::string normalizer_type, TypeOf(normalizer));
  if (!normalizer_type.empty()) return Refuse(normalizer, normalizer_type, "with BPE there must be none");
  ASSIGN_OR_RETURN(const std::string type, TypeOf(words));
  if (type != "ByteLevel") return Refuse(words, type, "with BPE it must be ByteLevel");
  ASSIGN_OR_RETURN(spec->add_prefix_space, words.Bool("add_prefix_space", true));
  ASSIGN_OR_RETURN(spec->split_words, words.Bool("use_regex", true));
  for (const char* name : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    RETURN_IF_ERROR(model.MustBeOff(name));
  }
  ASSIGN_OR_RETURN(spec->ignore_merges, model.Bool("ignore_merges", false));
  const Node merges = model.Get("merges");
  if (!merges.json().is_array()) return merges.WrongType("a list");
  for (size_t i = 0; i < merges.json().size(); ++i) RETURN_IF_ERROR(ReadMerge(merges.At(i), spec));
  return absl::OkStatus();
}

absl::Status ReadWordPiece(const Node& root, const Node& model, TokenizerSpec* spec) {
  spec->model = TokenizerSpec::Model::kWordPiece;
  const Node normalizer = root.Get("normalizer"), words = root.Get("pre_tokenizer"),
             decoder = root.Get("decoder");
  ASSIGN_OR_RETURN(const std::string type, TypeOf(words));
  if (type != "BertPreTokenizer") return Refuse(words, type, "with WordPiece it must be BertPreTokenizer");
  ASSIGN_OR_RETURN(const std::string normalizer_type, TypeOf(normalizer));
  spec->normalize = !normalizer_type.empty();
  if (spec->normalize && normalizer_type != "BertNormalizer") {
    return Refuse(normalizer, normalizer_type, "with WordPiece it must be BertNormalizer or null");
  }
  if (spec->normalize) {
    BertNormalization& options = spec->normalization;
    ASSIGN_OR_RETURN(options.clean_text, normalizer.Bool("clean_text", true));
    ASSIGN_OR_RETURN(options.handle_chinese_characters, normalizer.Bool("handle_chinese_chars", true));
    ASSIGN_OR_RETURN(options.lower_case, normalizer.Bool("lowercase", true));
    ASSIGN_OR_RETURN(options.strip_accents, normalizer.Bool("strip_accents", options.lower_case));
  }
  ASSIGN_OR_RETURN(spec->unknown, model.String("unk_token", "[UNK]"));
  ASSIGN_OR_RETURN(spec->continuing_prefix, model.String("continuing_subword_prefix", "##"));
  if (const Node most = model.Get("max_input_chars_per_word"); !most.is_null()) {
    ASSIGN_OR_RETURN(spec->most_characters, most.Int());
  }
  ASSIGN_OR_RETURN(spec->clean_up, decoder.Bool("cleanup", true));
  return absl::OkStatus();
}

absl::Status ReadAdded(const Node& node, TokenizerSpec* spec) {
  AddedToken token;
  ASSIGN_OR_RETURN(token.content, node.String("content"));
  if (token.content.empty()) return node.Error("has no content");
  ASSIGN_OR_RETURN(token.id, node.Get("id").Int());
  RETURN_IF_ERROR(node.MustBeOff("single_word"));
  ASSIGN_OR_RETURN(token.strip_left, node.Bool("lstrip", false));
  ASSIGN_OR_RETURN(token.strip_right, node.Bool("rstrip", false));
  ASSIGN_OR_RETURN(token.special, node.Bool("special", false));
  ASSIGN_OR_RETURN(token.normalized, node.Bool("normalized", !token.special));
  spec->added.push_back(std::move(token));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadText(FileSystem* fs, const std::string& path) {
  auto file = fs->Open(path);
  if (!file.ok()) return DataError(file.status().message());
  if ((*file)->size_bytes() > kMostFileBytes) {
    return DataError(absl::StrCat(path, " has ", (*file)->size_bytes(), " bytes; a tokenizer has at most ",
                                  kMostFileBytes));
  }
  auto text = ReadWholeFile(fs, path);
  if (!text.ok()) return DataError(text.status().message());
  return text;
}

void MarkSpecial(std::initializer_list<absl::string_view> names, TokenizerSpec* spec) {
  for (const auto& [token, id] : spec->vocabulary) {
    for (const absl::string_view name : names) {
      if (token == name) spec->added.push_back({.content = token, .id = id, .special = true});
    }
  }
}

// GPT-2's vocab.json and merges.txt.
absl::StatusOr<TokenizerSpec> ReadGpt2(FileSystem* fs, const std::string& path) {
  TokenizerSpec spec;
  ASSIGN_OR_RETURN(const std::string text, ReadText(fs, path));
  ASSIGN_OR_RETURN(const Json vocabulary, ParseJson(text, path));
  RETURN_IF_ERROR(ReadVocabulary(Node(&vocabulary, path), &spec));
  const std::string merges_path = absl::StrCat(absl::StripSuffix(path, "vocab.json"), "merges.txt");
  ASSIGN_OR_RETURN(const std::string merges, ReadText(fs, merges_path));
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(merges, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (line.empty() || absl::StartsWith(line, "#version")) continue;
    const std::vector<std::string> halves = absl::StrSplit(line, ' ');
    if (halves.size() != 2) {
      return DataError(absl::StrCat(merges_path, ", line ", number, ": '", line, "' is not two tokens"));
    }
    spec.merges.emplace_back(halves[0], halves[1]);
  }
  MarkSpecial({"<|endoftext|>"}, &spec);
  return spec;
}

// BERT's vocab.txt.
absl::StatusOr<TokenizerSpec> ReadBert(FileSystem* fs, const std::string& path) {
  TokenizerSpec spec;
  spec.model = TokenizerSpec::Model::kWordPiece;
  ASSIGN_OR_RETURN(const std::string text, ReadText(fs, path));
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    spec.vocabulary.emplace_back(absl::StripSuffix(line, "\r"), static_cast<int32_t>(spec.vocabulary.size()));
  }
  MarkSpecial({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, &spec);
  const std::string config_path = JoinPath(ParentFolder(path), "tokenizer_config.json");
  if (!fs->Exists(config_path)) return spec;
  ASSIGN_OR_RETURN(const std::string config_text, ReadText(fs, config_path));
  ASSIGN_OR_RETURN(const Json config, ParseJson(config_text, config_path));
  const Node node(&config, config_path + ": ");
  BertNormalization& options = spec.normalization;
  ASSIGN_OR_RETURN(options.lower_case, node.Bool("do_lower_case", true));
  ASSIGN_OR_RETURN(options.strip_accents, node.Bool("strip_accents", options.lower_case));
  ASSIGN_OR_RETURN(options.handle_chinese_characters, node.Bool("tokenize_chinese_chars", true));
  return spec;
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerJson(absl::string_view text, absl::string_view name) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, name));
  const Node root(&json, absl::StrCat(name, ": "));
  if (!json.is_object()) return root.WrongType("an object");
  const Node model = root.Get("model");
  if (!model.json().is_object()) return model.WrongType("an object");
  TokenizerSpec spec;
  ASSIGN_OR_RETURN(std::string type, model.String("type"));
  // Older files leave the type out.
  if (type.empty()) type = model.Get("merges").is_null() ? "WordPiece" : "BPE";
  if (type == "BPE") {
    RETURN_IF_ERROR(ReadBpe(root, model, &spec));
  } else if (type == "WordPiece") {
    RETURN_IF_ERROR(ReadWordPiece(root, model, &spec));
  } else {
    return model.Error(absl::StrCat("'", type, "' is not supported; BPE and WordPiece are"));
  }
  RETURN_IF_ERROR(ReadVocabulary(model.Get("vocab"), &spec));
  const Node added = root.Get("added_tokens");
  if (!added.is_null() && !added.json().is_array()) return added.WrongType("a list");
  for (size_t i = 0; i < added.json().size(); ++i) RETURN_IF_ERROR(ReadAdded(added.At(i), &spec));
  return spec;
}

absl::StatusOr<TokenizerSpec> ReadTokenizer(FileSystem* fs, const std::string& path) {
  if (absl::EndsWith(path, "vocab.json")) return ReadGpt2(fs, path);
  if (absl::EndsWith(path, ".txt")) return ReadBert(fs, path);
  ASSIGN_OR_RETURN(const std::string text, ReadText(fs, path));
  return ParseTokenizerJson(text, path);
}

}  // namespace lockstep::data
