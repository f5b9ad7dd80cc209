// One rank of a world of real processes, for tests that need a real launcher and for measuring by hand.
//
//   comm_rank check FOLDER BACKEND            every rank agrees, reduces and says so; exit 0, or the error's
//   code comm_rank bench FOLDER BACKEND COLLECTIVE MIN MAX FACTOR [ALGORITHM [plain|reuse]]
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "comm/bench/comm_bench.h"
#include "comm/bootstrap.h"
#include "comm/factory.h"

namespace lockstep::comm {
namespace {

absl::Status Check(Communicator& comm) {
  RETURN_IF_ERROR(CheckAgreement(comm, {{"build", "test"}}));
  std::vector<float> values(100003, static_cast<float>(comm.rank() + 1));
  const Buffer buffer = BufferOf(absl::MakeSpan(values));
  RETURN_IF_ERROR(comm.AllReduce(buffer, buffer, ReduceOp::kSum));
  const float want = static_cast<float>(comm.size() * (comm.size() + 1) / 2);
  for (float value : values) {
    if (value != want) return absl::InternalError("a wrong sum");
  }
  RETURN_IF_ERROR(comm.Barrier());
  if (comm.rank() == 0) std::printf("%s, sum %g\n", comm.Describe().c_str(), want);
  return absl::OkStatus();
}

absl::Status Bench(Communicator& comm, const std::vector<std::string>& arguments) {
  CommBenchOptions options;
  options.collective = arguments[4];
  ASSIGN_OR_RETURN(options.min_bytes, ParseSize(arguments[5]));
  ASSIGN_OR_RETURN(options.max_bytes, ParseSize(arguments[6]));
  options.step_factor = std::atof(arguments[7].c_str());
  if (arguments.size() > 8) options.algorithm = arguments[8];
  options.plain_buffers = arguments.size() > 9 && arguments[9] == "plain";
  options.fresh_buffers = arguments.size() <= 9 || arguments[9] != "reuse";
  return RunCommBench(options, comm, std::cout);
}

absl::Status Run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 4) return ConfigError("see the head of tests/comm/rank_main.cc");
  ASSIGN_OR_RETURN(const World world, WorldFromEnvironment());
  ASSIGN_OR_RETURN(auto meeting, Meet(world, {.folder = arguments[2], .deadline = absl::Seconds(20)}));
  CommunicatorOptions options;
  options.backend = arguments[3];
  options.deadline = absl::Seconds(60);
  ASSIGN_OR_RETURN(auto comm, MakeCommunicator(*meeting, options));
  meeting.reset();
  return arguments[1] == "bench" && arguments.size() >= 8 ? Bench(*comm, arguments) : Check(*comm);
}

}  // namespace
}  // namespace lockstep::comm

int main(int argc, char** argv) {
  const absl::Status status = lockstep::comm::Run(std::vector<std::string>(argv, argv + argc));
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return lockstep::ExitCodeOf(status);
}
