#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "launcher/build_info.h"
#include "launcher/command.h"
#include "launcher/rank.h"
#include "launcher/stop_signal.h"
#include "launcher/supervisor_line.h"
#include "runtime/core/fault_file_system.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/log.h"
#include "runtime/nn/models/builtin.h"
#include "runtime/train/config.h"
#include "runtime/train/run_folder.h"
#include "runtime/train/terminal.h"
#include "runtime/train/trainer.h"

namespace lockstep::launcher {
namespace {

constexpr char kFooter[] =
    "Without a launcher this is one rank; started by mpirun, srun or `lockstep launch`, each process is one "
    "rank of\n"
    "the same run. Its result does not depend on their number (at most `lanes` of the configuration).\n"
    "Signals: SIGTERM, SIGINT, SIGUSR1: checkpoint, then leave (exit code 143, 130, 0). A second SIGINT: at "
    "once.\n"
    "Examples:\n"
    "  mpirun -np 2 lockstep train examples/digits_cnn.textproto --out RUN\n"
    "  lockstep train run.textproto --out RUN --set execution.threads=2 --set optimizer.adamw.lr=1e-3\n"
    "  lockstep train run.textproto --dry-run";

struct TrainFlags {
  std::string file, out;
  std::optional<int64_t> steps;
  std::string resume = "auto";
  std::vector<std::string> settings;
  bool ledger = false, trace = false, dry_run = false, fork = false, verbose = false;
};

void SetResume(const std::string& resume, train::TrainOptions* options) {
  if (resume == "auto" || resume == "never") {
    options->resume = resume == "auto" ? train::ResumeMode::kAuto : train::ResumeMode::kNever;
    return;
  }
  options->resume = train::ResumeMode::kPath;
  options->resume_path = resume;
}

absl::StatusOr<train::TrainOptions> MakeOptions(const TrainFlags& flags, const comm::World& world) {
  train::TrainOptions options;
  ASSIGN_OR_RETURN(options.config, train::LoadConfig(flags.file, flags.settings));
  RETURN_IF_ERROR(Annotate(train::ValidateConfig(options.config, world.size), flags.file));
  options.config_path = flags.file;
  options.out = flags.out;
  options.stop_at = flags.steps;
  SetResume(flags.resume, &options);
  options.ledger = flags.ledger;
  options.trace = flags.trace;
  options.fork = flags.fork;
  options.verbose = flags.verbose;
  options.terminal = world.rank == 0 && train::FindTerminal(STDERR_FILENO, world.launcher != "none").live;
  options.build_id = BuildId();
  options.world = &world;
  options.file_system = RealFileSystem();
  return options;
}

// Of the environment variable, for tests of what a run survives.
absl::StatusOr<std::vector<Fault>> FaultsFromEnvironment(Logger& log) {
  const char* text = std::getenv("LOCKSTEP_FAULTS");
  if (text == nullptr || *text == '\0') return std::vector<Fault>();
  auto faults = ParseFaults(text);
  if (!faults.ok()) return Annotate(faults.status(), "LOCKSTEP_FAULTS");
  log.Warning(absl::StrCat("LOCKSTEP_FAULTS: this run will meet made-up faults: ", text));
  return faults;
}

absl::Status DryRun(const train::TrainOptions& options) {
  if (options.world->rank != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, train::DescribeRun(options));
  std::cout << text;
  return absl::OkStatus();
}

absl::Status Train(const TrainFlags& flags, const comm::World& world, CommandContext* context) {
  if (flags.out.empty() && !flags.dry_run)
    return ConfigError("--out is required: the folder that the run writes to");
  ASSIGN_OR_RETURN(train::TrainOptions options, MakeOptions(flags, world));
  const nn::ModelRegistry builtin = nn::BuiltinModels();
  options.models = context->models != nullptr ? context->models : &builtin;
  std::atomic<int> shown_rank{world.size > 1 ? world.rank : -1};
  const std::unique_ptr<Logger> log =
      MakeStderrLogger(&shown_rank, flags.verbose ? LogLevel::kDebug : LogLevel::kInfo);
  options.log = log.get();
  if (flags.dry_run) return DryRun(options);
  if (!world.warning.empty()) log->Warning(world.warning);
  ASSIGN_OR_RETURN(std::vector<Fault> injected, FaultsFromEnvironment(*log));
  FaultPoints faults(std::move(injected));
  faults.SetRank(world.rank);
  faults.OnFault([&](const Fault& fault) {
    log->Warning(absl::StrCat("injected fault now: ", FaultText(fault), " in process ", getpid()));
  });
  options.faults = &faults;
  const std::unique_ptr<FileSystem> faulty_files =
      MakeFaultFileSystem(RealFileSystem(), train::RunPaths(flags.out).checkpoints(), &faults);
  if (faults.armed()) options.file_system = faulty_files.get();
  signal(SIGPIPE, SIG_IGN);  // a closed pipe behind standard output must not end hours of training
  signal(SIGXFSZ, SIG_IGN);  // nor a limit on file sizes, which is met like a full disk
  options.stop_signal = InstallStopSignals();
  SupervisorLine supervisor(world.rank);
  options.on_rank = [&](int rank) {
    shown_rank = rank;
    supervisor.SayMember();
  };
  if (supervisor.connected()) options.grow = [&](int ranks) { return supervisor.AskForRanks(ranks); };
  ASSIGN_OR_RETURN(const train::TrainResult result, train::RunTraining(options));
  if (result.status == "left") supervisor.SayLeft();
  if (result.signal != 0) context->exit_code = ExitCodeOfSignal(result.signal);
  return absl::OkStatus();
}

absl::Status TrainAsRank(const TrainFlags& flags, CommandContext* context) {
  ASSIGN_OR_RETURN(const comm::World world, BecomeRank());
  return RankStatus(Train(flags, world, context), world, context);
}

}  // namespace

void AddTrainCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a run configuration says");
  command->add_option("file", flags->file, "Run configuration (protobuf text format; proto/run_config.proto)")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", flags->out, "Output folder, made when missing; shared by all ranks")
      ->type_name("FOLDER");
  command
      ->add_option("--steps", flags->steps,
                   "Stop after this optimizer step, counted from the run's start\n"
                   "(default: the horizon of the configuration, which this never changes;\n"
                   "0: only write a checkpoint of the initial weights)")
      ->check(WholeNumber(0))
      ->type_name("N");
  command
      ->add_option("--resume", flags->resume,
                   "auto: from the newest whole checkpoint of --out, if there is one;\n"
                   "never: anew, in a folder without checkpoints;\n"
                   "or the path of a checkpoint or run")
      ->capture_default_str()
      ->type_name("auto|never|PATH");
  command->add_option("--set", flags->settings, "Override one field of the configuration; may be given again")
      ->allow_extra_args(false)
      ->type_name("field.path=value");
  command->add_flag("--ledger", flags->ledger, "Write ledger.jsonl: the records of every committed step");
  command->add_flag("--trace", flags->trace, "Write trace.json: a timeline for ui.perfetto.dev");
  command->add_flag("--fork", flags->fork,
                    "Accept a checkpoint of another recipe or dataset, as a new lineage");
  command->add_flag("--dry-run", flags->dry_run,
                    "Print the complete configuration and the plan; train nothing");
  command->add_flag("--verbose", flags->verbose, "Log details as well");
  command->footer(kFooter);
  context.OnRun(command, [flags, &context] { return TrainAsRank(*flags, &context); });
}

}  // namespace lockstep::launcher
