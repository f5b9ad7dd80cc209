// `lockstep records`: makes, lists, checks and times record files.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "launcher/command.h"
#include "runtime/core/thread.h"
#include "runtime/data/image/make_image_records.h"
#include "runtime/data/make_records.h"
#include "runtime/data/make_typed.h"
#include "runtime/data/record_tools.h"

namespace lockstep::launcher {
namespace {

constexpr char kFiles[] = "Record files, or patterns with * and ? in the last part of the path";

void AddFiles(CLI::App* command, std::vector<std::string>* files) {
  command->add_option("files", *files, kFiles)->required()->type_name("FILE...");
}

using FilesWork = absl::Status (*)(FileSystem*, const std::vector<std::string>&, std::ostream&);

// A command that takes files and nothing else.
void AddSimple(CLI::App* parent, CommandContext& context, const std::string& name, const std::string& about,
               const std::string& footer, FilesWork work) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* command = parent->add_subcommand(name, about);
  AddFiles(command, files.get());
  command->footer(footer);
  context.OnRun(command, [files, work] { return work(RealFileSystem(), *files, std::cout); });
}

void AddVerify(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    int threads = AvailableCores();
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("verify", "Compare every checksum; name each damaged record");
  AddFiles(command, &options->files);
  command->add_option("--threads", options->threads, "Files read at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->footer(
      "Exit code 3 when anything is damaged.\nExample:\n  lockstep records verify 'data/*.tfrecord'");
  context.OnRun(command, [options] {
    return data::VerifyRecords(RealFileSystem(), options->files, options->threads, std::cout);
  });
}

void AddCat(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    std::string format = "text";
    int64_t skip = 0, limit = -1;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("cat", "Print records");
  AddFiles(command, &options->files);
  command->add_option("--format", options->format, "text (protobuf) or json (an object a line)")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("--skip", options->skip, "Records passed over first")
      ->check(WholeNumber(0))
      ->capture_default_str();
  command->add_option("--limit", options->limit, "Records printed at most; default: all")
      ->check(WholeNumber(0));
  command->footer(
      "Example:\n  lockstep records cat --limit 2 --format json examples/data/digits-test*.tfrecord");
  context.OnRun(command, [options] {
    const auto format = options->format == "json" ? data::CatFormat::kJson : data::CatFormat::kText;
    return data::CatRecords(RealFileSystem(), options->files, format, options->skip, options->limit,
                            std::cout);
  });
}

void AddBench(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    data::BenchOptions bench;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("bench", "Time reading: prints 'X GB/s  Y records/s'");
  AddFiles(command, &options->files);
  data::BenchOptions& bench = options->bench;
  command->add_flag("--parse", bench.parse, "Decode every feature of the records into batches too");
  command->add_flag("--shuffle", bench.shuffle, "Decode them in a global shuffle");
  command->add_option("--threads", bench.threads, "Threads; when only reading, each reads a file of its own")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--batch", bench.batch, "Records in a batch")
      ->check(WholeNumber(1))
      ->capture_default_str();
  command->add_option("--repeat", bench.repeat, "Passes; the best counts")
      ->check(WholeNumber(1))
      ->capture_default_str();
  command->add_flag("--baseline", bench.baseline, "Time a bare read() into a reused buffer beside it");
  command->footer(
      "GB are 10^9 bytes of file. Every checksum is compared.\n"
      "Example:\n  lockstep records bench --parse --threads 2 'data/*.tfrecord'");
  context.OnRun(command, [options] {
    return data::BenchRecords(RealFileSystem(), options->files, options->bench, std::cout);
  });
}

void AddIndex(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    bool import_dali = false, export_dali = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent->add_subcommand("index", "Write an index FILE.lsidx beside each file, for faster opening");
  AddFiles(command, &options->files);
  auto* import = command->add_flag("--import-dali", options->import_dali,
                                   "Take the records' places from DALI's index FILE.idx, checking each");
  command
      ->add_flag("--export-dali", options->export_dali,
                 "Write DALI's index FILE.idx instead (\"offset size\" lines)")
      ->excludes(import);
  command->footer(
      "An index that does not fit its file is passed over.\nExamples:\n  lockstep records index "
      "'data/*.tfrecord'\n  lockstep records index --export-dali 'data/*.tfrecord'");
  context.OnRun(command, [options] {
    const auto work = options->import_dali   ? data::IndexWork::kImportDali
                      : options->export_dali ? data::IndexWork::kExportDali
                                             : data::IndexWork::kBuild;
    return data::IndexRecords(RealFileSystem(), options->files, work, std::cout);
  });
}

void AddStat(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    data::StatOptions stat;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand(
      "stat", "Read all records: features, types, lengths, histograms, the most frequent values");
  AddFiles(command, &options->files);
  command->add_option("--out", options->stat.out,
                      "Write a file of statistics, for data.columns of a training configuration");
  command->add_option("--html", options->stat.html, "Write a page with plots for a browser");
  command->add_flag("--json", options->stat.json, "Print that file instead of the table");
  command->footer(
      "Statistics of training data are made of the training part alone.\nExamples:\n"
      "  lockstep records stat 'examples/data/digits-train*.tfrecord'\n"
      "  lockstep records stat 'examples/data/penguins-train*.tfrecord' --out "
      "examples/data/penguins-stats.json");
  context.OnRun(command, [options] {
    return data::StatRecords(RealFileSystem(), options->files, options->stat, std::cout);
  });
}

struct MakeOptions {
  std::string from, compression = "none";
  std::vector<std::string> bytes, ints, floats, columns;
  data::TableOptions table;
  data::TypedOptions typed;
  data::TextOptions text;
  data::FolderOptions folders;
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

absl::Status Make(MakeOptions options) {
  ASSIGN_OR_RETURN(options.target.compression, data::ParseCompression(options.compression));
  options.target.write_index = true;
  if (options.from == "images") {
    options.folders.input = options.input;
    options.folders.test_every = options.table.test_every;
    return data::MakeFromFolders(RealFileSystem(), options.folders, options.target, std::cout);
  }
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

void AddMake(CLI::App* parent, CommandContext& context) {
  auto options = std::make_shared<MakeOptions>();
  CLI::App* command = parent->add_subcommand("make", "Write record files from a table, a text, or pictures");
  command
      ->add_option("--from", options->from,
                   "csv: comma-separated values, a row a record. jsonl: a JSON object a line. text: any "
                   "bytes. images: a folder of "
                   "folders of JPEG and PNG files, a folder a class")
      ->required()
      ->check(CLI::IsMember({"csv", "jsonl", "text", "images"}));
  command->add_option("--input", options->input, "The file (plain or gzip), or the folder, to read")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--out", options->target.out,
                   "Path and beginning of the names: OUT-train-00000-of-00002.tfrecord, OUT-test-...")
      ->required();
  auto* shards = command->add_option("--shards", options->target.shards, "Files of the training part")
                     ->check(CLI::Range(1, 99999))
                     ->capture_default_str();
  command
      ->add_option("--shard-records", options->target.shard_records, "Begin a new file after so many records")
      ->check(WholeNumber(1))
      ->excludes(shards);
  command
      ->add_option("--shard-bytes", options->target.shard_bytes,
                   "Begin a new file before it would grow beyond this, not counting compression")
      ->check(WholeNumber(1))
      ->excludes(shards);
  command
      ->add_option(
          "--compression", options->compression,
          "Of each file as a whole: none, gzip, zlib (TensorFlow reads these), zstd (Lockstep alone)")
      ->capture_default_str();
  CLI::App* csv = command->add_option_group("csv");
  csv->add_option("--bytes", options->bytes, "A feature of bytes from columns, counted from 0")
      ->type_name("NAME=FIRST-LAST");
  csv->add_option("--ints", options->ints, "A feature of integers")->type_name("NAME=FIRST-LAST");
  csv->add_option("--floats", options->floats, "A feature of floats")->type_name("NAME=FIRST-LAST");
  csv->add_flag("--header", options->table.header, "The first line is a heading");
  csv->add_option("--column", options->columns,
                  "csv with a heading, jsonl: a feature of the column NAME, or of COLUMN. TYPE: int, float, "
                  "string, or "
                  "category (strings become numbers, listed in OUT-NAME.txt)")
      ->type_name("NAME:TYPE[=COLUMN]");
  csv->add_option("--missing", options->typed.missing,
                  "With --column: cells of this text are empty, as \"NA\"");
  command
      ->add_option("--test-every", options->table.test_every,
                   "csv, jsonl, images: every k-th record, from the first, goes to the test part")
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
  images->add_option("--shuffle", options->folders.shuffle,
                     "Seed of a random order of the records; default: by class, then by name");
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
      "The same input and options give the same bytes.\n"
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
      "data/flowers");
  context.OnRun(command, [options] { return Make(*options); });
}

}  // namespace

void AddRecordsCommand(CLI::App& app, CommandContext& context) {
  CLI::App* records = app.add_subcommand("records", "Make, list, check and time record files (TFRecord)");
  records->require_subcommand(1);
  AddMake(records, context);
  AddIndex(records, context);
  AddSimple(records, context, "ls", "List files: records, bytes, features",
            "Example:\n  lockstep records ls examples/data/*.tfrecord", data::ListRecords);
  AddStat(records, context);
  AddVerify(records, context);
  AddCat(records, context);
  AddBench(records, context);
}

}  // namespace lockstep::launcher
