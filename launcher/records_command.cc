// `lockstep records`: makes, lists, checks and times record files.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "launcher/command.h"
#include "launcher/records_make.h"
#include "runtime/core/thread.h"
#include "runtime/data/record_tools.h"

namespace lockstep::launcher {
namespace {

using FilesWork = absl::Status (*)(FileSystem*, const std::vector<std::string>&, std::ostream&);

// A command that takes files and nothing else.
void AddSimple(CLI::App* parent, CommandContext& context, const std::string& name, const std::string& about,
               const std::string& footer, FilesWork work) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* command = parent->add_subcommand(name, about);
  AddRecordFiles(command, files.get());
  command->footer(footer);
  context.OnRun(command, [files, work] { return work(Sources()(), *files, std::cout); });
}

void AddVerify(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    int threads = AvailableCores();
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("verify", "Compare every checksum; name each damaged record");
  AddRecordFiles(command, &options->files);
  command->add_option("--threads", options->threads, "Files read at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->footer(
      "Exit code 3 when anything is damaged.\nExample:\n  lockstep records verify 'data/*.tfrecord'");
  context.OnRun(command, [options] {
    return data::VerifyRecords(Sources()(), options->files, options->threads, std::cout);
  });
}

void AddCat(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    std::string format = "text";
    data::CatOptions cat;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("cat", "Print records");
  AddRecordFiles(command, &options->files);
  command->add_option("--format", options->format, "text (protobuf) or json (an object a line)")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("--skip", options->cat.first, "Records passed over first")
      ->check(WholeNumber(0))
      ->capture_default_str();
  command->add_option("--limit", options->cat.limit, "Records printed at most; default: all")
      ->check(WholeNumber(0));
  command
      ->add_option("--where", options->cat.where,
                   "Only records in which a value of FEATURE is so: FEATURE=VALUE, or with !=, <, <=, > or "
                   ">=. Given several "
                   "times, all must hold")
      ->type_name("CONDITION")
      ->allow_extra_args(false);
  command->footer(
      "Examples:\n  lockstep records cat --limit 2 --format json examples/data/digits-test*.tfrecord\n"
      "  lockstep records cat --where label=3 --limit 1 examples/data/digits-test*.tfrecord");
  context.OnRun(command, [options] {
    options->cat.format = options->format == "json" ? data::CatFormat::kJson : data::CatFormat::kText;
    return data::CatRecords(Sources()(), options->files, options->cat, std::cout);
  });
}

void AddBench(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::vector<std::string> files;
    std::string read = "auto";
    data::BenchOptions bench;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("bench", "Time reading: prints 'X GB/s  Y records/s'");
  AddRecordFiles(command, &options->files);
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
  command
      ->add_option("--read", options->read,
                   "What is parsed is mapped or read (execution.read.mode of a training)")
      ->check(CLI::IsMember({"auto", "mapped", "read"}))
      ->capture_default_str();
  command->add_flag("--baseline", bench.baseline, "Time a bare read() into a reused buffer beside it");
  command->footer(
      "GB are 10^9 bytes of file. Every checksum is compared.\n"
      "Example:\n  lockstep records bench --parse --threads 2 'data/*.tfrecord'");
  context.OnRun(command, [options] {
    options->bench.read = options->read == "mapped" ? data::ReadMode::kMapped
                          : options->read == "read" ? data::ReadMode::kRead
                                                    : data::ReadMode::kAuto;
    return data::BenchRecords(Sources()(), options->files, options->bench, std::cout);
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
  AddRecordFiles(command, &options->files);
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
    return data::IndexRecords(Sources()(), options->files, work, std::cout);
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
  AddRecordFiles(command, &options->files);
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
    return data::StatRecords(Sources()(), options->files, options->stat, std::cout);
  });
}

}  // namespace

void AddRecordsCommand(CLI::App& app, CommandContext& context) {
  CLI::App* records = app.add_subcommand("records", "Make, list, check and time record files (TFRecord)");
  records->require_subcommand(1);
  AddMakeRecords(records, context);
  AddReshardRecords(records, context);
  AddIndex(records, context);
  AddSimple(records, context, "ls", "List files: records, bytes, features",
            "Example:\n  lockstep records ls examples/data/*.tfrecord", data::ListRecords);
  AddStat(records, context);
  AddVerify(records, context);
  AddCat(records, context);
  AddBench(records, context);
}

}  // namespace lockstep::launcher
