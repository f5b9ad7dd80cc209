// `lockstep records make`, `shard` and `merge`.
#include "launcher/records_make.h"

#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/data/image/make_image_records.h"
#include "runtime/data/make_npy.h"
#include "runtime/data/make_records.h"
#include "runtime/data/make_typed.h"
#include "runtime/data/reshard.h"

namespace lockstep::launcher {
namespace {

constexpr char kFiles[] =
    "Record files: paths, patterns with * and ? in the last part, numbers as {00000..00007}; or addresses "
    "that begin with "
    "http://, https:// or s3://";

struct MakeOptions {
  std::string from, compression = "none";
  std::vector<std::string> bytes, ints, floats, columns;
  data::TableOptions table;
  data::TypedOptions typed;
  data::TextOptions text;
  data::FolderOptions folders;
  data::NpyOptions npy;
  data::MakeTarget target;
  std::string input;
};

absl::Status AddColumns(const std::vector<std::string>& texts, data::ColumnFeature::Kind kind,
                        data::TableOptions* table) {
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(data::ColumnFeature feature, data::ParseColumns(text, kind));
    table->features.push_back(std::move(feature));
  }
  return absl::OkStatus();
}

absl::Status MakeTyped(MakeOptions options) {
  for (const std::string& text : options.columns) {
    ASSIGN_OR_RETURN(data::TypedColumn column, data::ParseTypedColumn(text));
    options.typed.columns.push_back(std::move(column));
  }
  options.typed.input = options.input;
  options.typed.json = options.from == "jsonl";
  options.typed.test_every = options.table.test_every;
  if (!options.bytes.empty() || !options.ints.empty() || !options.floats.empty())
    return ConfigError(
        "--column names columns by their heading: it does not go with --bytes, --ints and --floats");
  return data::MakeFromTyped(RealFileSystem(), options.typed, options.target, std::cout);
}

absl::Status MakeNpy(MakeOptions options) {
  for (const std::string& text : options.columns) {
    ASSIGN_OR_RETURN(data::NpyFeature feature, data::ParseNpyFeature(text));
    options.npy.features.push_back(std::move(feature));
  }
  options.npy.input = options.input;
  options.npy.shuffle = options.folders.shuffle;
  options.npy.test_every = options.table.test_every;
  return data::MakeFromNpy(RealFileSystem(), options.npy, options.target, std::cout);
}

absl::Status Make(MakeOptions options) {
  ASSIGN_OR_RETURN(options.target.compression, data::ParseCompression(options.compression));
  options.target.write_index = true;
  if (options.from == "images") {
    options.folders.input = options.input;
    options.folders.test_every = options.table.test_every;
    return data::MakeFromFolders(RealFileSystem(), options.folders, options.target, std::cout);
  }
  if (options.from == "npy") return MakeNpy(std::move(options));
  if (options.from == "text") {
    options.text.input = options.input;
    return data::MakeFromText(RealFileSystem(), options.text, options.target, std::cout);
  }
  if (options.from == "jsonl" && options.columns.empty())
    return ConfigError("--from jsonl needs the features: --column NAME:TYPE");
  if (!options.columns.empty()) return MakeTyped(std::move(options));
  options.table.input = options.input;
  RETURN_IF_ERROR(AddColumns(options.bytes, data::ColumnFeature::Kind::kBytes, &options.table));
  RETURN_IF_ERROR(AddColumns(options.ints, data::ColumnFeature::Kind::kInt64, &options.table));
  RETURN_IF_ERROR(AddColumns(options.floats, data::ColumnFeature::Kind::kFloat, &options.table));
  return data::MakeFromTable(RealFileSystem(), options.table, options.target, std::cout);
}

// --shards, --shard-records, --shard-bytes and --compression.
void AddTarget(CLI::App* command, data::MakeTarget* target, std::string* compression,
               const std::string& what_files) {
  auto* shards = command->add_option("--shards", target->shards, what_files)
                     ->check(CLI::Range(1, 99999))
                     ->capture_default_str();
  command->add_option("--shard-records", target->shard_records, "Begin a new file after so many records")
      ->check(WholeNumber(1))
      ->excludes(shards);
  command
      ->add_option("--shard-bytes", target->shard_bytes,
                   "Begin a new file before it would grow beyond this, not counting compression")
      ->check(WholeNumber(1))
      ->excludes(shards);
  command
      ->add_option(
          "--compression", *compression,
          "Of each file as a whole: none, gzip, zlib (TensorFlow reads these), zstd (Lockstep alone)")
      ->capture_default_str();
}

void AddShard(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    std::string compression = "none";
    std::optional<uint64_t> shuffle;
    data::MakeTarget target;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("shard", "Deal records to other files");
  AddRecordFiles(command, &options->files);
  command
      ->add_option("--out", options->target.out,
                   "Path and beginning of the names: OUT-00000-of-00008.tfrecord")
      ->required();
  AddTarget(command, &options->target, &options->compression, "Files");
  command->add_option("--shuffle", options->shuffle,
                      "Seed of a random order of the records; default: as they lie");
  command->footer(
      "Checksums are compared on the way. The same command goes on where it was broken off.\n"
      "Example:\n  lockstep records shard 'data/*.tfrecord' --shuffle 1 --shards 64 --compression zstd --out "
      "data/mixed");
  context.OnRun(command, [options] {
    ASSIGN_OR_RETURN(options->target.compression, data::ParseCompression(options->compression));
    options->target.write_index = true;
    return data::ReshardRecords(Sources()(), options->files, options->shuffle, options->target, std::cout);
  });
}

void AddMerge(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    std::string compression = "none", out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent->add_subcommand("merge", "Put the records of several files into one, in their order");
  AddRecordFiles(command, &options->files);
  command->add_option("--out", options->out, "The file")->required();
  command->add_option("--compression", options->compression, "none, gzip, zlib or zstd")
      ->capture_default_str();
  command->footer("Example:\n  lockstep records merge 'data/*.tfrecord' --out all.tfrecord");
  context.OnRun(command, [options]() -> absl::Status {
    ASSIGN_OR_RETURN(const data::Compression compression, data::ParseCompression(options->compression));
    return data::MergeRecords(Sources()(), options->files, options->out, compression, std::cout);
  });
}

}  // namespace

void AddRecordFiles(CLI::App* command, std::vector<std::string>* files) {
  command->add_option("files", *files, kFiles)->required()->type_name("FILE...");
}

void AddMakeRecords(CLI::App* parent, CommandContext& context) {
  auto options = std::make_shared<MakeOptions>();
  CLI::App* command = parent->add_subcommand("make", "Write record files from a table, a text, or pictures");
  command
      ->add_option("--from", options->from,
                   "csv: comma-separated values, a row a record. jsonl: a JSON object a line. text: any "
                   "bytes. images: a folder of "
                   "folders of JPEG and PNG files, a folder a class. npy: numpy's .npy, .npz, or a folder of "
                   ".npy files; "
                   "a record a row")
      ->required()
      ->check(CLI::IsMember({"csv", "jsonl", "text", "images", "npy"}));
  command->add_option("--input", options->input, "The file (plain or gzip), or the folder, to read")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--out", options->target.out,
                   "Path and beginning of the names: OUT-train-00000-of-00002.tfrecord, OUT-test-...")
      ->required();
  AddTarget(command, &options->target, &options->compression, "Files of the training part");
  CLI::App* csv = command->add_option_group("csv");
  csv->add_option("--bytes", options->bytes, "A feature of bytes from columns, counted from 0")
      ->type_name("NAME=FIRST-LAST");
  csv->add_option("--ints", options->ints, "A feature of integers")->type_name("NAME=FIRST-LAST");
  csv->add_option("--floats", options->floats, "A feature of floats")->type_name("NAME=FIRST-LAST");
  csv->add_flag("--header", options->table.header, "The first line is a heading");
  csv->add_option("--column", options->columns,
                  "csv with a heading, jsonl: a feature of the column NAME, or of COLUMN. TYPE: int, float, "
                  "string, or "
                  "category (strings become numbers, listed in OUT-NAME.txt). npy: of the array NAME or "
                  "ARRAY; TYPE: int, float or bytes")
      ->type_name("NAME:TYPE[=COLUMN]");
  csv->add_option("--missing", options->typed.missing,
                  "With --column: cells of this text are empty, as \"NA\"");
  command
      ->add_option("--test-every", options->table.test_every,
                   "csv, jsonl, images, npy: every k-th record, from the first, goes to the test part")
      ->check(WholeNumber(1));
  CLI::App* text = command->add_option_group("text");
  data::TextOptions& of_text = options->text;
  text->add_option("--feature", of_text.feature, "Name of the bytes feature")->capture_default_str();
  text->add_option("--chunk-bytes", of_text.chunk_bytes, "Text of a record, cut at the end of a line")
      ->check(WholeNumber(1))
      ->capture_default_str();
  text->add_option("--train-bytes", of_text.train_bytes,
                   "So much from the beginning; default: all but the test part")
      ->check(WholeNumber(1));
  text->add_option("--test-bytes", of_text.test_bytes, "So much from the end goes to the test part")
      ->check(WholeNumber(1));
  CLI::App* images = command->add_option_group("images");
  images->add_option(
      "--shuffle", options->folders.shuffle,
      "images, npy: seed of a random order of the records; default: by class and name, or of the rows");
  text->add_option(
      "--tokenizer", of_text.tokenizer,
      "bpe, wordpiece: learn a byte-level BPE or BERT's WordPiece from the training part, into "
      "OUT-tokenizer.json. Or a file: tokenizer.json, vocab.json beside merges.txt, BERT's vocab.txt");
  text->add_option("--vocabulary", of_text.vocabulary,
                   "Tokens that are learned; bytes or characters, and specials, included")
      ->check(CLI::Range(1, 16777216));
  text->add_flag("--cased", of_text.cased, "wordpiece keeps upper case and accents");
  text->add_flag("--tokens", of_text.tokens, "Records hold the ids of tokens instead of the text");
  command->footer(
      "The same input and options give the same bytes. From images and npy the same command goes on where it "
      "was broken off.\n"
      "Examples:\n"
      "  lockstep records make --from csv --input digits.csv.gz --bytes image=0-63 --ints label=64 "
      "--test-every 5 "
      "--out data/digits\n"
      "  lockstep records make --from csv --input penguins.csv --missing NA --column label:category=species "
      "--column island:string --column body_mass_g:float --test-every 5 --out data/penguins\n"
      "  lockstep records make --from text --input book.txt --test-bytes 100000 --out data/book\n"
      "  lockstep records make --from text --input book.txt --tokenizer bpe --vocabulary 8192 --tokens --out "
      "data/book\n"

      "  lockstep records make --from images --input flowers --shuffle 1 --test-every 10 --shards 4 --out "
      "data/flowers\n"
      "  lockstep records make --from npy --input digits.npz --shuffle 1 --test-every 10 --out data/digits");
  context.OnRun(command, [options] { return Make(*options); });
}

void AddReshardRecords(CLI::App* parent, CommandContext& context) {
  AddShard(parent, context);
  AddMerge(parent, context);
}

}  // namespace lockstep::launcher
