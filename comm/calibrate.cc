#include "comm/calibrate.h"

#include <algorithm>
#include <vector>

#include "comm/reduce/reduce.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {
namespace {

constexpr int kSmallRounds = 8, kLargeRounds = 3;
constexpr size_t kLargeBytes = size_t{1} << 20;

// Runs calls on an engine that no front has yet.
class Caller {
 public:
  Caller(Engine& engine, absl::Duration deadline) : engine_(engine), deadline_(deadline) {}

  // The least of `rounds` times that a message of `bytes` to the next rank takes while one of the previous
  // rank comes in, seconds.
  absl::StatusOr<double> TimeExchange(size_t bytes, int rounds) {
    std::vector<uint8_t> out(bytes), in(bytes);
    Call call;
    call.kind = Collective::kSendRecv;
    call.in = ConstBuffer(out.data(), bytes, DType::kU8);
    call.out = Buffer{in.data(), bytes, DType::kU8};
    call.to = (engine_.rank() + 1) % engine_.size();
    call.from = (engine_.rank() + engine_.size() - 1) % engine_.size();
    double least = 1e9;
    for (int round = 0; round < rounds; ++round) {
      const double begin = MonotonicSeconds();
      RETURN_IF_ERROR(Run(call));
      least = std::min(least, MonotonicSeconds() - begin);
    }
    return least;
  }

  absl::Status AllGather(std::vector<double>& mine, std::vector<double>& all) {
    Call call;
    call.kind = Collective::kAllGather;
    call.in = BufferOf(absl::MakeSpan(mine));
    call.out = BufferOf(absl::MakeSpan(all));
    return Run(call);
  }

 private:
  absl::Status Run(const Call& call) {
    RunContext context{DescriptorOf(call, sequence_, engine_.size()), CallClock(deadline_)};
    context.send_sequence = context.recv_sequence = sequence_++;
    return engine_.Run(call, context);
  }

  Engine& engine_;
  const absl::Duration deadline_;
  uint64_t sequence_ = 0;
};

double TimeReduction() {
  std::vector<float> a(kLargeBytes / 16), b(a.size());
  const ReduceProgram add(2, {{0, 1}}, ReduceOp::kSum, DType::kF32);
  const void* const terms[] = {a.data(), b.data()};
  double least = 1e9;
  for (int round = 0; round < kLargeRounds; ++round) {
    const double begin = MonotonicSeconds();
    add.Run(terms, a.data(), a.size());
    least = std::min(least, MonotonicSeconds() - begin);
  }
  return least / (static_cast<double>(a.size()) * sizeof(float));
}

}  // namespace

absl::StatusOr<CostModel> Calibrate(Engine& engine, absl::Duration deadline) {
  Caller caller(engine, deadline);
  ASSIGN_OR_RETURN(const double small, caller.TimeExchange(8, kSmallRounds));
  ASSIGN_OR_RETURN(const double large, caller.TimeExchange(kLargeBytes, kLargeRounds));
  const double per_byte = std::max(large - small, 0.0) / static_cast<double>(kLargeBytes);
  std::vector<double> mine = {small, per_byte, TimeReduction()};
  std::vector<double> all(mine.size() * engine.size());
  RETURN_IF_ERROR(caller.AllGather(mine, all));
  for (size_t i = 0; i < all.size(); ++i) mine[i % mine.size()] = std::max(mine[i % mine.size()], all[i]);
  CostModel model;
  model.latency = mine[0];
  model.message_seconds = mine[0] / 4;  // a further message of a step costs its system calls, not the way
  model.seconds_per_byte = mine[1];
  model.reduce_seconds_per_byte = mine[2];
  return model;
}

}  // namespace lockstep::comm
