#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/Error.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "comm/bench/comm_bench.h"
#include "comm/explain.h"
#include "comm/factory.h"
#include "launcher/command.h"
#include "launcher/rank.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/core/names.h"

namespace lockstep::launcher {
namespace {

constexpr char kFooter[] =
    "Sizes take K, M, G (powers of 1024). Time is the mean over iterations, in microseconds; algbw and busbw "
    "are GB/s\n"
    "(1e9 bytes); p50 and p99 follow in columns of their own. Flags and columns are those of nccl-tests.\n"
    "Every value of the checked iterations is compared with its exactly known result; wrong ones, or a mean\n"
    "bus bandwidth below 0.9 of --min-busbw (or NCCL_TESTS_MIN_BW), end in an error.\n"
    "Examples:\n"
    "  mpirun -np 2 lockstep comm all_reduce -b 1K -e 256M -f 2\n"
    "  mpirun -np 2 lockstep comm all_reduce -b 1K -e 64M -f 4 --algo all --plot all_reduce.svg\n"
    "  lockstep launch -n 4 -- comm reduce_lanes -b 1M -e 16M -f 4 --backend tcp -J out.json\n"
    "  lockstep comm explain RUN/comm-dump-rank-*.jsonl";

constexpr char kBoundFooter[] =
    "What the machine gives: threads pinned to the cores in turn do the loads and stores of a two-shot\n"
    "all_reduce of floats in place, buffers rewritten before, and never wait for each other.\n"
    "Example:\n"
    "  lockstep comm bound -b 1M -e 256M -f 4";

struct CommFlags {
  comm::CommBenchOptions bench;
  comm::CommunicatorOptions communicator;
  std::string min_size = "32M", max_size = "32M", step_size = "1M", pace = "0";
  std::string folder, cost_model;
  double deadline_seconds = 300;
  bool payload_crc = false;
  bool verbose = false;
  int bound_ranks = 2;
  // Flags of nccl-tests that mean nothing without GPUs; scripts give them.
  int threads = 1, gpus = 1;
  int parallel_init = 0, stream_null = 0, blocking = 0, graph = 0, local_register = 0;
};

absl::Status ReadSizes(CommFlags* flags) {
  ASSIGN_OR_RETURN(flags->bench.min_bytes, comm::ParseSize(flags->min_size));
  ASSIGN_OR_RETURN(flags->bench.max_bytes, comm::ParseSize(flags->max_size));
  ASSIGN_OR_RETURN(flags->bench.step_bytes, comm::ParseSize(flags->step_size));
  ASSIGN_OR_RETURN(flags->communicator.pacing_bytes_per_second, comm::ParseSize(flags->pace));
  return absl::OkStatus();
}

absl::Status CheckForeignFlags(const CommFlags& flags) {
  if (flags.threads != 1 || flags.gpus != 1) {
    return ConfigError("-t and -g: a rank is one thread, and has no GPU; start more ranks (mpirun -np)");
  }
  if (flags.parallel_init != 0 || flags.stream_null != 0 || flags.graph != 0 || flags.local_register != 0) {
    return ConfigError("-p, -y, -G and -R are for GPUs, and can only be 0 here");
  }
  return absl::OkStatus();
}

absl::Status CheckTimes(const CommFlags& flags) {
  // So that "nan" is refused too.
  if (!(flags.deadline_seconds > 0)) return ConfigError("--deadline: more than 0 seconds are needed");
  if (!(flags.bench.timeout_seconds >= 0)) return ConfigError("-T: 0 seconds (as --deadline says), or more");
  return absl::OkStatus();
}

absl::Status ReadCostModel(CommFlags* flags) {
  if (flags->cost_model.empty()) return absl::OkStatus();
  const auto text = ReadWholeFile(RealFileSystem(), flags->cost_model);
  if (!text.ok()) return ConfigError(absl::StrCat("--cost-model: ", text.status().message()));
  flags->communicator.cost_model = *text;
  return absl::OkStatus();
}

// nccl-tests takes this from the environment only.
absl::Status ReadLeastBandwidth(CommFlags* flags) {
  const char* const text = std::getenv("NCCL_TESTS_MIN_BW");
  if (text == nullptr || flags->bench.min_busbw != 0) return absl::OkStatus();
  if (absl::SimpleAtod(text, &flags->bench.min_busbw)) return absl::OkStatus();
  return ConfigError(absl::StrCat("NCCL_TESTS_MIN_BW: '", text, "' is no number of GB/s"));
}

absl::Status RunBench(CommFlags flags, const comm::World& world) {
  RETURN_IF_ERROR(ReadSizes(&flags));
  RETURN_IF_ERROR(CheckForeignFlags(flags));
  RETURN_IF_ERROR(CheckTimes(flags));
  RETURN_IF_ERROR(ReadCostModel(&flags));
  RETURN_IF_ERROR(ReadLeastBandwidth(&flags));
  const std::unique_ptr<Logger> log =
      MakeStderrLogger(world.size > 1 ? world.rank : -1, flags.verbose ? LogLevel::kDebug : LogLevel::kInfo);
  if (!world.warning.empty()) log->Warning(world.warning);
  flags.communicator.log = log.get();
  flags.communicator.deadline = absl::Seconds(flags.deadline_seconds);
  if (flags.payload_crc) flags.communicator.payload_crc = true;
  if (!flags.communicator.dump_folder.empty()) {
    const absl::Status made = RealFileSystem()->CreateFolders(flags.communicator.dump_folder);
    if (!made.ok()) return ConfigError(absl::StrCat("--dump: ", made.message()));
  }
  ASSIGN_OR_RETURN(const auto meeting, comm::Meet(world, {.folder = flags.folder}));
  ASSIGN_OR_RETURN(const auto communicator, comm::MakeCommunicator(*meeting, flags.communicator));
  return comm::RunCommBench(flags.bench, *communicator, std::cout);
}

absl::Status RunBound(CommFlags flags) {
  RETURN_IF_ERROR(ReadSizes(&flags));
  return comm::RunBoundBench(flags.bench, flags.bound_ranks, std::cout);
}

absl::Status BenchAsRank(const CommFlags& flags, CommandContext* context) {
  ASSIGN_OR_RETURN(const comm::World world, BecomeRank());
  return RankStatus(RunBench(flags, world), world, context);
}

void AddSizeFlags(CLI::App* command, CommFlags* flags) {
  comm::CommBenchOptions& bench = flags->bench;
  command->add_option("-b,--minbytes", flags->min_size, "Least size, bytes")
      ->capture_default_str()
      ->type_name("SIZE");
  command->add_option("-e,--maxbytes", flags->max_size, "Greatest size, bytes")
      ->capture_default_str()
      ->type_name("SIZE");
  command->add_option("-i,--stepbytes", flags->step_size, "Bytes added from size to size")
      ->capture_default_str()
      ->type_name("SIZE");
  command
      ->add_option("-f,--stepfactor", bench.step_factor, "Factor from size to size, in place of -i; 0: off")
      ->capture_default_str()
      ->type_name("X");
  command->add_option("-n,--iters", bench.iterations, "Timed iterations of a size")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("-w,--warmup_iters", bench.warmup, "Iterations before them")
      ->capture_default_str()
      ->type_name("N");
}

void AddSweepFlags(CLI::App* command, CommFlags* flags) {
  comm::CommBenchOptions& bench = flags->bench;
  AddSizeFlags(command, flags);
  command->add_option("-m,--agg_iters", bench.per_iteration, "Operations in flight together in an iteration")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("-N,--run_cycles", bench.cycles, "Times the whole sweep runs")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("-c,--check", bench.check, "Iterations, beside the timed, that are checked; 0: none")
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--verify", bench.verify, "Check the results of every timed iteration too");
  command->add_option("-T,--timeout", bench.timeout_seconds, "Seconds for one operation; 0: --deadline")
      ->capture_default_str()
      ->type_name("S");
}

void AddOperationFlags(CLI::App* command, CommFlags* flags) {
  comm::CommBenchOptions& bench = flags->bench;
  command->add_option("-o,--op", bench.op, "sum, prod, min, max, avg or all")
      ->capture_default_str()
      ->type_name("OP");
  command
      ->add_option("-d,--datatype", bench.dtype,
                   "int8 uint8 int32 uint32 int64 uint64 half float double bfloat16, or all")
      ->capture_default_str()
      ->type_name("TYPE");
  command->add_option("-r,--root", bench.root, "Root rank of rooted collectives; all (or -1): each in turn")
      ->capture_default_str()
      ->transform(CLI::Transformer({{std::string("all"), std::string("-1")}}))
      ->type_name("RANK");
  command
      ->add_option("-a,--average", bench.average,
                   "Time shown: 0 rank 0's, 1 mean, 2 least, 3 greatest over ranks")
      ->capture_default_str()
      ->type_name("0..3");
  command->add_option("--lanes", bench.lanes, "Lanes of reduce_lanes; 0: the least power of two >= the ranks")
      ->capture_default_str()
      ->type_name("L");
  command->add_option("--wire", bench.wire, "What floats are rounded to on their way: full, bf16, f16")
      ->capture_default_str()
      ->type_name("TYPE");
  command
      ->add_option("-u,--unalign", bench.unalign, "Elements by which data begins behind an aligned address")
      ->capture_default_str()
      ->type_name("N");
}

void AddReportFlags(CLI::App* command, CommFlags* flags) {
  comm::CommBenchOptions& bench = flags->bench;
  command->add_option("-J,--output_file", bench.json_file, "Write the results as JSON too")
      ->type_name("FILE");
  command->add_option("--plot", bench.plot_file, "Draw algbw over size, with what bounds it, as SVG")
      ->type_name("FILE");
  command->add_option("-C,--report_cputime", bench.cpu_time, "1: show the time spent computing, not waiting")
      ->capture_default_str()
      ->type_name("0/1");
  command->add_option("-S,--report_timestamps", bench.timestamps, "1: a last column says when")
      ->capture_default_str()
      ->type_name("0/1");
  command
      ->add_option("-I,--per_iter_timing", bench.per_iteration_columns,
                   "1: columns for the least, greatest and p99 time of an iteration, and their variation")
      ->capture_default_str()
      ->type_name("0/1");
  command->add_option("-K,--per_iter_skip", bench.skip, "First iterations that those columns leave out")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--min-busbw", bench.min_busbw, "GB/s of mean bus bandwidth to reach 0.9 of; 0: any")
      ->capture_default_str()
      ->type_name("X");
  command->add_flag("--verbose", flags->verbose, "Say which algorithm is chosen from which size on");
  command->add_flag("--in-place", bench.in_place_only, "Leave the out-of-place half away");
}

// Taken so that command lines of nccl-tests work as they are.
void AddForeignFlags(CLI::App* command, CommFlags* flags) {
  const auto add = [&](const char* names, int& value) {
    command->add_option(names, value)->group("Flags of nccl-tests for GPUs, which change nothing here");
  };
  add("-t,--nthreads", flags->threads);
  add("-g,--ngpus", flags->gpus);
  add("-p,--parallel_init", flags->parallel_init);
  add("-y,--stream_null", flags->stream_null);
  add("-z,--blocking", flags->blocking);
  add("-G,--cudagraph", flags->graph);
  add("-R,--local_register", flags->local_register);
}

void AddTransportFlags(CLI::App* command, CommFlags* flags) {
  command->add_option("--backend", flags->communicator.backend, absl::StrJoin(comm::BackendNames(), ", "))
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--between", flags->communicator.between,
                   absl::StrCat("What hier, and auto where it takes hier, uses between machines: ",
                                absl::StrJoin(comm::BetweenNames(), ", ")))
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--algo", flags->bench.algorithm,
                   "Algorithm, by name; all: each that can, in turn; default: the backend's choice by size")
      ->type_name("NAME");
  command
      ->add_option("--cost-model", flags->cost_model,
                   "Take what the choice by size goes by from this file, in place of measuring it: what "
                   "--verbose prints behind \"cost model:\"")
      ->type_name("FILE");
  command
      ->add_option(
          "--interface", flags->communicator.interface,
          "Network interface for tcp between machines: names (eth0,ib0), all but some (^docker0), or "
          "networks (10.0.0.0/8); default: as the route goes")
      ->type_name("LIST");
  command->add_flag(
      "--crc", flags->payload_crc,
      "Check the data of tcp frames by CRC-32C on loopback too (between machines it always is)");
  command
      ->add_option(
          "--dump", flags->communicator.dump_folder,
          "If a rank fails, write the last calls of each into this folder, for `lockstep comm explain`")
      ->type_name("FOLDER");
  command
      ->add_option(
          "--pace", flags->pace,
          "Bytes a second that each tcp connection sends at most, to act as a slower network; 0: no limit")
      ->capture_default_str()
      ->type_name("SIZE");
  command->add_option("--deadline", flags->deadline_seconds, "Seconds for any call")
      ->capture_default_str()
      ->type_name("S");
  command
      ->add_option("--meet", flags->folder, "Shared folder where ranks meet, if the launcher offers no place")
      ->type_name("FOLDER");
  command->add_flag("--plain-buffers", flags->bench.plain_buffers,
                    "Ordinary memory in place of peer buffers");
  command->add_flag("--fresh-buffers,!--reuse-buffers", flags->bench.fresh_buffers,
                    "Rewrite the input before each iteration (the default), or not (which flatters: the data "
                    "stays where it was read)");
}

absl::Status Explain(const std::vector<std::string>& paths) {
  ASSIGN_OR_RETURN(const std::string text, comm::ExplainFiles(paths));
  std::cout << text;
  return absl::OkStatus();
}

void AddExplainCommand(CLI::App& group, CommandContext& context) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = group.add_subcommand(
      "explain", "Say from the dumps of failed ranks which one parted from the others, and where");
  command->add_option("dumps", *paths, "Dumps of the ranks of one run: RUN/comm-dump-rank-*.jsonl")
      ->required()
      ->type_name("FILE");
  command->footer("Example:\n  lockstep comm explain RUN/comm-dump-rank-*.jsonl");
  context.OnRun(command, [paths] { return Explain(*paths); });
}

}  // namespace

void AddCommCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<CommFlags>();
  CLI::App* command = app.add_subcommand("comm", "Time and check a collective operation between ranks");
  AddExplainCommand(*command, context);
  flags->bench.collective.clear();
  command->add_option("collective", flags->bench.collective, absl::StrJoin(comm::BenchCollectives(), ", "))
      ->type_name("COLLECTIVE");
  AddSweepFlags(command, flags.get());
  AddOperationFlags(command, flags.get());
  AddTransportFlags(command, flags.get());
  AddReportFlags(command, flags.get());
  AddForeignFlags(command, flags.get());
  command->footer(kFooter);
  auto bound_flags = std::make_shared<CommFlags>();
  CLI::App* bound =
      command->add_subcommand("bound", "Time the machine's memory, which bounds all_reduce over shm");
  AddSizeFlags(bound, bound_flags.get());
  bound->add_option("--ranks", bound_flags->bound_ranks, "Threads")->capture_default_str()->type_name("N");
  bound->footer(kBoundFooter);
  context.OnRun(bound, [bound_flags] { return RunBound(*bound_flags); });
  // CLI11 calls this after the callback of a subcommand, where that is what the command line names.
  command->callback([command, flags, &context] {
    if (!command->get_subcommands().empty()) return;
    if (flags->bench.collective.empty()) throw CLI::RequiredError("collective");
    context.action = [flags, &context] { return BenchAsRank(*flags, &context); };
  });
}

}  // namespace lockstep::launcher
