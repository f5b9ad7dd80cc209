#include "runtime/data/make_records.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/example.pb.h"
#include "runtime/data/gunzip.h"
#include "runtime/data/make_parts.h"
#include "runtime/data/record_shards.h"
#include "runtime/data/record_writer.h"
#include "runtime/data/text/bpe_trainer.h"
#include "runtime/data/text/tokenizer.h"
#include "runtime/data/text/tokenizer_file.h"
#include "runtime/data/text/word_piece_trainer.h"

namespace lockstep::data {
namespace {

constexpr size_t kInputLimitBytes = size_t{4} << 30;

void Tell(const Shard& shard, std::ostream& out) {
  out << shard.path << ": " << shard.records << " records, " << shard.bytes << " bytes\n";
}

RecordWriterOptions FileOptions(const MakeTarget& target) { return {target.compression, target.write_index}; }

absl::Status WriteFile(FileSystem* fs, const MakeTarget& target, const std::string& path,
                       absl::Span<const std::string> records, std::ostream& out) {
  ASSIGN_OR_RETURN(auto writer, RecordWriter::Create(fs, path, FileOptions(target)));
  for (const std::string& record : records) RETURN_IF_ERROR(writer->Write(record));
  RETURN_IF_ERROR(writer->Close());
  Tell({path, writer->records(), writer->stored_bytes()}, out);
  return absl::OkStatus();
}

absl::Status WriteLimited(FileSystem* fs, const MakeTarget& target, const std::string& prefix,
                          const std::vector<std::string>& records, std::ostream& out) {
  ShardedRecordWriter writer(fs, prefix, {target.shard_records, target.shard_bytes, FileOptions(target)});
  for (const std::string& record : records) RETURN_IF_ERROR(writer.Write(record));
  ASSIGN_OR_RETURN(const std::vector<Shard> shards, writer.Close());
  for (const Shard& shard : shards) Tell(shard, out);
  return absl::OkStatus();
}

// `part` is "" or "-train" or "-test".
absl::Status WritePart(FileSystem* fs, const MakeTarget& target, absl::string_view part, int shards,
                       const std::vector<std::string>& records, std::ostream& out) {
  const std::string prefix = absl::StrCat(target.out, part);
  if (target.shard_records > 0 || target.shard_bytes > 0)
    return WriteLimited(fs, target, prefix, records, out);
  if (shards < 1 || records.size() < static_cast<size_t>(shards)) {
    return ConfigError(absl::StrCat(prefix, ": ", records.size(), " records cannot fill ", shards, " files"));
  }
  size_t begin = 0;
  for (int shard = 0; shard < shards; ++shard) {
    const size_t count =
        records.size() / shards + (shard < static_cast<int>(records.size() % shards) ? 1 : 0);
    const std::string path = ShardName(prefix, shard, shards, target.compression);
    RETURN_IF_ERROR(WriteFile(fs, target, path, absl::MakeConstSpan(records).subspan(begin, count), out));
    begin += count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadMakeInput(FileSystem* fs, const std::string& path) {
  auto contents = ReadWholeFile(fs, path);
  if (!contents.ok()) return DataError(contents.status().message());
  return IsGzip(*contents) ? Gunzip(path, *contents, kInputLimitBytes) : *std::move(contents);
}

std::string SerializeExample(const records::Example& example) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    example.SerializeToCodedStream(&coded);
  }
  return bytes;
}

absl::Status WriteParts(FileSystem* fs, const MakeTarget& target, bool held_out,
                        const std::vector<std::string>& train, const std::vector<std::string>& test,
                        std::ostream& out) {
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(target.out)));
  RETURN_IF_ERROR(WritePart(fs, target, held_out ? "-train" : "", target.shards, train, out));
  return held_out ? WritePart(fs, target, "-test", 1, test, out) : absl::OkStatus();
}

namespace {

// ---- Tables ----------------------------------------------------------------------------------------------

absl::Status CellError(const std::string& path, int64_t line, int column, absl::string_view cell,
                       absl::string_view wanted) {
  return DataError(
      absl::StrCat(path, ", line ", line, ", column ", column, ": '", cell, "' is not ", wanted));
}

absl::Status AddFeature(const std::string& path, int64_t line, const std::vector<absl::string_view>& cells,
                        const ColumnFeature& columns, records::Example* example) {
  if (columns.last >= static_cast<int>(cells.size())) {
    return DataError(absl::StrCat(path, ", line ", line, " has ", cells.size(), " columns; feature '",
                                  columns.name, "' needs column ", columns.last));
  }
  records::Feature& feature = (*example->mutable_features()->mutable_feature())[columns.name];
  std::string bytes;
  for (int column = columns.first; column <= columns.last; ++column) {
    const absl::string_view cell = cells[column];
    int64_t integer = 0;
    float number = 0;
    if (columns.kind == ColumnFeature::Kind::kFloat) {
      if (!absl::SimpleAtof(cell, &number)) return CellError(path, line, column, cell, "a number");
      feature.mutable_float_list()->add_value(number);
      continue;
    }
    if (!absl::SimpleAtoi(cell, &integer)) return CellError(path, line, column, cell, "an integer");
    if (columns.kind == ColumnFeature::Kind::kInt64) {
      feature.mutable_int64_list()->add_value(integer);
      continue;
    }
    if (integer < 0 || integer > 255) return CellError(path, line, column, cell, "a byte (0 to 255)");
    bytes.push_back(static_cast<char>(integer));
  }
  if (columns.kind == ColumnFeature::Kind::kBytes) feature.mutable_bytes_list()->add_value(bytes);
  return absl::OkStatus();
}

// ---- Text ------------------------------------------------------------------------------------------------

std::vector<absl::string_view> ChunksOfLines(absl::string_view text, const TextOptions& options) {
  std::vector<absl::string_view> chunks;
  while (!text.empty()) {
    const size_t most = std::min(text.size(), static_cast<size_t>(options.chunk_bytes));
    size_t end = text.substr(0, most).rfind('\n');
    if (most == text.size()) end = most - 1;
    if (end == absl::string_view::npos) end = std::min(text.find('\n'), text.size() - 1);  // one longer line
    chunks.push_back(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
  return chunks;
}

// Without `tokenizer` the records hold the text itself.
std::vector<std::string> TextRecords(const std::vector<absl::string_view>& chunks, const std::string& name,
                                     const Tokenizer* tokenizer) {
  std::vector<std::string> records;
  Tokenizer::Cache cache;
  std::vector<int32_t> ids;
  for (const absl::string_view chunk : chunks) {
    records::Example example;
    records::Feature& feature = (*example.mutable_features()->mutable_feature())[name];
    if (tokenizer == nullptr) {
      feature.mutable_bytes_list()->add_value(std::string(chunk));
    } else {
      ids.clear();
      tokenizer->Encode(chunk, &ids, &cache);
      feature.mutable_int64_list()->mutable_value()->Add(ids.begin(), ids.end());
    }
    records.push_back(SerializeExample(example));
  }
  return records;
}

absl::Status CheckTokenizerOptions(const TextOptions& options) {
  if (options.tokens && options.tokenizer.empty()) return ConfigError("--tokens needs --tokenizer");
  const bool learned = options.tokenizer == "bpe" || options.tokenizer == "wordpiece";
  if (learned != (options.vocabulary > 0)) {
    return ConfigError(
        "--tokenizer bpe or wordpiece and --vocabulary N belong together: N tokens are learned");
  }
  if (options.cased && options.tokenizer != "wordpiece")
    return ConfigError("--cased goes with --tokenizer wordpiece");
  return absl::OkStatus();
}

template <typename Trainer>
absl::StatusOr<TokenizerSpec> Learn(Trainer trainer, const std::vector<absl::string_view>& texts) {
  for (const absl::string_view text : texts) trainer.Add(text);
  return trainer.Train();
}

// The one that the options name, or one learned from `chunks` and written; null for none.
absl::StatusOr<std::shared_ptr<const Tokenizer>> MakeTokenizer(FileSystem* fs, const TextOptions& options,
                                                               const std::string& out_prefix,
                                                               const std::vector<absl::string_view>& chunks,
                                                               std::ostream& out) {
  if (options.tokenizer.empty()) return nullptr;
  TokenizerSpec spec;
  if (options.tokenizer == "bpe") {
    ASSIGN_OR_RETURN(spec, Learn(BpeTrainer({.vocabulary = options.vocabulary}), chunks));
  } else if (options.tokenizer == "wordpiece") {
    WordPieceTrainerOptions learn;
    learn.vocabulary = options.vocabulary;
    learn.normalization.lower_case = learn.normalization.strip_accents = !options.cased;
    ASSIGN_OR_RETURN(spec, Learn(WordPieceTrainer(std::move(learn)), chunks));
  } else {
    return Tokenizer::Load(fs, options.tokenizer);
  }
  const std::string path = absl::StrCat(out_prefix, "-tokenizer.json");
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(path)));
  RETURN_IF_ERROR(WriteFileAtomically(fs, path, WriteTokenizerJson(spec)));
  out << path << ": " << spec.vocabulary.size() << " tokens\n";
  return Tokenizer::Create(std::move(spec));
}

}  // namespace

absl::StatusOr<ColumnFeature> ParseColumns(const std::string& text, ColumnFeature::Kind kind) {
  ColumnFeature feature;
  feature.kind = kind;
  const std::pair<std::string, std::string> halves = absl::StrSplit(text, absl::MaxSplits('=', 1));
  const std::vector<std::string> ends = absl::StrSplit(halves.second, '-');
  feature.name = halves.first;
  if (feature.name.empty() || ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &feature.first) ||
      !absl::SimpleAtoi(ends.back(), &feature.last) || feature.first < 0 || feature.last < feature.first) {
    return ConfigError(
        absl::StrCat("'", text, "' is not NAME=COLUMN or NAME=FIRST-LAST (columns count from 0)"));
  }
  return feature;
}

absl::Status MakeFromTable(FileSystem* fs, const TableOptions& options, const MakeTarget& target,
                           std::ostream& out) {
  if (options.features.empty()) return ConfigError("no features are named: give --bytes, --ints or --floats");
  ASSIGN_OR_RETURN(const std::string text, ReadMakeInput(fs, options.input));
  std::vector<std::string> train, test;
  int64_t line = 0, row = 0;
  for (absl::string_view content : absl::StrSplit(text, '\n')) {
    content = absl::StripSuffix(content, "\r");
    if (++line == 1 && options.header) continue;
    if (content.empty()) continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(content, ',');
    records::Example example;
    for (const ColumnFeature& feature : options.features) {
      RETURN_IF_ERROR(AddFeature(options.input, line, cells, feature, &example));
    }
    const bool held_out = options.test_every > 0 && row % options.test_every == 0;
    (held_out ? test : train).push_back(SerializeExample(example));
    ++row;
  }
  return WriteParts(fs, target, options.test_every > 0, train, test, out);
}

absl::Status MakeFromText(FileSystem* fs, const TextOptions& options, const MakeTarget& target,
                          std::ostream& out) {
  RETURN_IF_ERROR(CheckTokenizerOptions(options));
  if (options.chunk_bytes < 1) return ConfigError("--chunk-bytes must be at least 1");
  ASSIGN_OR_RETURN(const std::string contents, ReadMakeInput(fs, options.input));
  if (options.test_bytes >= static_cast<int64_t>(contents.size())) {
    return ConfigError(absl::StrCat(options.input, " has only ", contents.size(), " bytes; --test-bytes ",
                                    options.test_bytes, " leaves nothing to train on"));
  }
  const absl::string_view text = contents;
  size_t test_begin = text.size() - static_cast<size_t>(options.test_bytes);
  if (options.test_bytes > 0) {
    const size_t line_end = text.find('\n', test_begin - 1);
    test_begin = line_end == absl::string_view::npos ? text.size() : line_end + 1;
  }
  size_t train_end = test_begin;
  if (options.train_bytes >= 0 && options.train_bytes < static_cast<int64_t>(test_begin)) {
    train_end = std::min(text.find('\n', static_cast<size_t>(options.train_bytes)), test_begin - 1) + 1;
  }
  const auto train = ChunksOfLines(text.substr(0, train_end), options);
  const auto test = ChunksOfLines(text.substr(test_begin), options);
  ASSIGN_OR_RETURN(const auto tokenizer, MakeTokenizer(fs, options, target.out, train, out));
  const Tokenizer* encoder = options.tokens ? tokenizer.get() : nullptr;
  return WriteParts(fs, target, options.test_bytes > 0, TextRecords(train, options.feature, encoder),
                    TextRecords(test, options.feature, encoder), out);
}

}  // namespace lockstep::data
