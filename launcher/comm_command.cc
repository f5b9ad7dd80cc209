#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "comm/bench/comm_bench.h"
#include "comm/factory.h"
#include "launcher/command.h"
#include "launcher/rank.h"
#include "runtime/core/log.h"
#include "runtime/core/names.h"

namespace lockstep::launcher {
namespace {

constexpr char kFooter[] =
    "Sizes take K, M, G (powers of 1024). Time is the mean over iterations, in microseconds; algbw and busbw "
    "are GB/s\n"
    "(1e9 bytes); p50 and p99 follow in columns of their own. Flags and columns are those of nccl-tests.\n"
    "Examples:\n"
    "  mpirun -np 2 lockstep comm all_reduce -b 1K -e 256M -f 2\n"
    "  lockstep launch -n 4 -- comm reduce_lanes -b 1M -e 16M -f 4 --backend tcp -J out.json";

struct CommFlags {
  comm::CommBenchOptions bench;
  comm::CommunicatorOptions communicator;
  std::string min_size = "32M", max_size = "32M", step_size = "1M", pace = "0";
  std::string folder;
  double deadline_seconds = 300;
  bool reuse_buffers = false;
};

absl::Status ReadSizes(CommFlags* flags) {
  ASSIGN_OR_RETURN(flags->bench.min_bytes, comm::ParseSize(flags->min_size));
  ASSIGN_OR_RETURN(flags->bench.max_bytes, comm::ParseSize(flags->max_size));
  ASSIGN_OR_RETURN(flags->bench.step_bytes, comm::ParseSize(flags->step_size));
  ASSIGN_OR_RETURN(flags->communicator.pacing_bytes_per_second, comm::ParseSize(flags->pace));
  return absl::OkStatus();
}

absl::Status RunBench(CommFlags flags, const comm::World& world) {
  RETURN_IF_ERROR(ReadSizes(&flags));
  const std::unique_ptr<Logger> log = MakeStderrLogger(world.size > 1 ? world.rank : -1);
  if (!world.warning.empty()) log->Warning(world.warning);
  flags.communicator.log = log.get();
  flags.communicator.algorithm = flags.bench.algorithm;
  flags.communicator.deadline = absl::Seconds(flags.deadline_seconds);
  flags.bench.fresh_buffers = !flags.reuse_buffers;
  ASSIGN_OR_RETURN(const auto meeting, comm::Meet(world, {.folder = flags.folder}));
  ASSIGN_OR_RETURN(const auto communicator, comm::MakeCommunicator(*meeting, flags.communicator));
  return comm::RunCommBench(flags.bench, *communicator, std::cout);
}

absl::Status BenchAsRank(const CommFlags& flags, CommandContext* context) {
  ASSIGN_OR_RETURN(const comm::World world, BecomeRank());
  return RankStatus(RunBench(flags, world), world, context);
}

void AddSweepFlags(CLI::App* command, CommFlags* flags) {
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
  command->add_option("-m,--agg_iters", bench.per_iteration, "Operations in flight together in an iteration")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("-N,--run_cycles", bench.cycles, "Times the whole sweep runs")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("-c,--check", bench.check, "Iterations whose every value is checked; 0: none")
      ->capture_default_str()
      ->type_name("N");
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
  command->add_option("-r,--root", bench.root, "Root rank of rooted collectives; -1: each in turn")
      ->capture_default_str()
      ->type_name("RANK");
  command
      ->add_option("-a,--average", bench.average,
                   "Time shown: 0 rank 0's, 1 mean, 2 least, 3 greatest over ranks")
      ->capture_default_str()
      ->type_name("0..3");
  command->add_option("--lanes", bench.lanes, "Lanes of reduce_lanes; 0: the least power of two >= the ranks")
      ->capture_default_str()
      ->type_name("L");
  command->add_option("-J,--output_file", bench.json_file, "Write the results as JSON too")
      ->type_name("FILE");
}

void AddTransportFlags(CLI::App* command, CommFlags* flags) {
  command->add_option("--backend", flags->communicator.backend, absl::StrJoin(comm::BackendNames(), ", "))
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--algo", flags->bench.algorithm,
                   "Algorithm, by name; default: the backend's choice by size")
      ->type_name("NAME");
  command
      ->add_option("--interface", flags->communicator.interface,
                   "Network interface for tcp (default: as the route goes)")
      ->type_name("NAME");
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
  command->add_flag(
      "--reuse-buffers", flags->reuse_buffers,
      "Do not rewrite the input before each iteration (flatters: the data stays where it was read)");
}

}  // namespace

void AddCommCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<CommFlags>();
  CLI::App* command = app.add_subcommand("comm", "Time and check a collective operation between ranks");
  command->add_option("collective", flags->bench.collective, absl::StrJoin(comm::BenchCollectives(), ", "))
      ->required()
      ->type_name("COLLECTIVE");
  AddSweepFlags(command, flags.get());
  AddOperationFlags(command, flags.get());
  AddTransportFlags(command, flags.get());
  command->footer(kFooter);
  context.OnRun(command, [flags, &context] { return BenchAsRank(*flags, &context); });
}

}  // namespace lockstep::launcher
