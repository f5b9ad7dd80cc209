// What a position costs: how many sample ids a second Order::SamplesAt gives, in calls of so many positions, one call
// behind the other. (20 million a second: 50 ns each.)
//   order_bench [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/core/rng.h"
#include "runtime/data/order.h"

namespace lockstep::data {
namespace {

// From anywhere in the first thousand epochs on, as a run reads.
void Run(benchmark::State& state, const Order& order) {
  std::vector<int64_t> ids(static_cast<size_t>(state.range(1)));
  Order::Memo memo;
  auto position = static_cast<int64_t>(Mix64(7) % (static_cast<uint64_t>(state.range(0)) * 1000));
  for (auto _ : state) {
    order.SamplesAt(position, absl::MakeSpan(ids), &memo);
    position += state.range(1);
    benchmark::DoNotOptimize(ids.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
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
