// What a position costs: the nanoseconds that Order::SamplesAt takes for each sample id, in calls of so many
// positions one behind the other, at places spread over many epochs.
//   order_bench [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/core/rng.h"
#include "runtime/data/order.h"

namespace lockstep::data {
namespace {

void Run(benchmark::State& state, const Order& order) {
  std::vector<int64_t> ids(static_cast<size_t>(state.range(1)));
  uint64_t call = 0;
  for (auto _ : state) {
    // Anywhere in the first thousand epochs, so that no key is at hand from the call before.
    const uint64_t limit = static_cast<uint64_t>(state.range(0)) * 1000;
    order.SamplesAt(static_cast<int64_t>(Mix64(call++) % limit), absl::MakeSpan(ids));
    benchmark::DoNotOptimize(ids.data());
  }
  state.counters["ns/position"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(1)) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_Shuffle(benchmark::State& state) { Run(state, Order(OrderKind::kShuffle, 1, state.range(0))); }
void BM_Blocks(benchmark::State& state) {
  Run(state, *Order::Create({.kind = OrderKind::kBlockShuffle, .seed = 1, .blocks = {1024, 64}},
                            {{state.range(0), 1}}));
}
void BM_BlocksReadingLanes(benchmark::State& state) {
  Run(state, *Order::Create({.kind = OrderKind::kBlockShuffle,
                             .seed = 1,
                             .blocks = {1024, 64},
                             .reading_lanes = 8,
                             .global_batch = 512},
                            {{state.range(0), 1}}));
}
void BM_MixtureOfFour(benchmark::State& state) {
  const int64_t part = state.range(0) / 4;
  Run(state, *Order::Create({.seed = 1}, {{part, 5}, {part, 3}, {part, 1}, {part, 1}}));
}

// Samples; positions of a call: one, a micro-batch, a step.
const std::vector<std::vector<int64_t>> kArguments = {{1000000, 1000000000, 1000000000000}, {1, 32, 512}};
BENCHMARK(BM_Shuffle)->ArgsProduct(kArguments);
BENCHMARK(BM_Blocks)->ArgsProduct(kArguments);
BENCHMARK(BM_BlocksReadingLanes)->ArgsProduct(kArguments);
BENCHMARK(BM_MixtureOfFour)->ArgsProduct(kArguments);

}  // namespace
}  // namespace lockstep::data

BENCHMARK_MAIN();
