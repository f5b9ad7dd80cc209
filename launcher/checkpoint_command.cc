#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "launcher/command.h"
#include "runtime/core/file_system.h"
#include "runtime/train/checkpoint_tools.h"

namespace lockstep::launcher {
namespace {

constexpr char kPaths[] =
    "Run folders (RUN), checkpoint folders (RUN/checkpoints/step-*), or RUN/checkpoints/best";

void AddLs(CLI::App* parent, CommandContext& context) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      parent->add_subcommand("ls", "List checkpoints: step, time, ranks, size, loss, best mark");
  command->add_option("paths", *paths, kPaths)->required()->type_name("PATH...");
  command->footer("Example:\n  lockstep checkpoint ls RUN");
  context.OnRun(command, [paths] { return train::ListCheckpointsAt(RealFileSystem(), *paths, std::cout); });
}

void AddVerify(CLI::App* parent, CommandContext& context) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      parent->add_subcommand("verify", "Read every byte; check every size, CRC-32C and SHA-256");
  command->add_option("paths", *paths, kPaths)->required()->type_name("PATH...");
  command->footer(
      "Exit code 5 when a checkpoint is damaged; the line says which file and tensor.\n"
      "Example:\n  lockstep checkpoint verify RUN");
  context.OnRun(command, [paths] { return train::VerifyCheckpointsAt(RealFileSystem(), *paths, std::cout); });
}

void AddDiff(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::string before, after;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent->add_subcommand("diff", "Compare two checkpoints: recipe, counters, tensors, hashes");
  command->add_option("before", options->before, "A checkpoint, or a run folder for its newest")
      ->required()
      ->type_name("PATH");
  command->add_option("after", options->after, "Another")->required()->type_name("PATH");
  command->footer(
      "Differences of tensors are absolute, in the tensor's own unit.\n"
      "Example:\n  lockstep checkpoint diff RUN1 RUN2/checkpoints/step-00000100");
  context.OnRun(command, [options] {
    return train::DiffCheckpointsAt(RealFileSystem(), options->before, options->after, std::cout);
  });
}

void AddExport(CLI::App* parent, CommandContext& context) {
  struct Options {
    std::string path;
    train::ExportOptions what;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent->add_subcommand("export", "Write the trained weights to one safetensors file");
  command
      ->add_option("path", options->path,
                   "A checkpoint, RUN/checkpoints/best, or a run folder for its newest")
      ->required()
      ->type_name("PATH");
  command->add_option("-o,--out", options->what.file, "The file to write")->required()->type_name("FILE");
  command->add_flag("--ema", options->what.ema, "The moving average of the weights in place of the weights");
  command->add_flag("--buffers", options->what.buffers, "Batch-norm statistics too");
  command->footer(
      "Any safetensors reader opens the file; init_from in a recipe takes it.\n"
      "Example:\n  lockstep checkpoint export RUN/checkpoints/best --out model.safetensors");
  context.OnRun(command, [options] {
    return train::ExportCheckpoint(RealFileSystem(), options->path, options->what, std::cout);
  });
}

}  // namespace

void AddCheckpointCommand(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("checkpoint", "List, verify, compare and export checkpoints");
  command->require_subcommand(1);
  AddLs(command, context);
  AddVerify(command, context);
  AddDiff(command, context);
  AddExport(command, context);
}

}  // namespace lockstep::launcher
