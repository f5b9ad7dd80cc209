// What a position of the run costs: from its number to the record that stands there, in batches of 256, and how much memory
// that takes, for data sets of up to 10^12 records.
//   data_bench [--benchmark_filter=...]
//   data_bench --write FILE PAYLOAD_BYTES COUNT    writes records of random bytes `image` and an integer `label`
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "proto/example.pb.h"
#include "runtime/core/rng.h"
#include "runtime/data/order.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

void Shuffle(benchmark::State& state) {
  const Order order(OrderKind::kShuffle, /*seed=*/1, state.range(0));
  std::vector<int64_t> samples(256);
  int64_t position = 0;
  for (auto _ : state) {
    order.SamplesAt(position, absl::MakeSpan(samples));
    benchmark::DoNotOptimize(samples.data());
    position += static_cast<int64_t>(samples.size());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(samples.size()));
  state.counters["object_bytes"] = sizeof order;
  state.counters["ns_a_position"] =
      benchmark::Counter(static_cast<double>(samples.size()) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(Shuffle)->Arg(60000)->Arg(1281167)->Arg(1000000000)->Arg(1000000000000);

absl::Status Write(const std::string& path, size_t payload_bytes, int64_t count) {
  ASSIGN_OR_RETURN(const auto writer, RecordWriter::Create(RealFileSystem(), path));
  uint64_t state = 1;
  std::string payload(payload_bytes, '\0');
  for (int64_t i = 0; i < count; ++i) {
    for (size_t at = 0; at < payload_bytes; at += sizeof state) {
      state = Mix64(state + at);
      std::memcpy(payload.data() + at, &state, std::min(sizeof state, payload_bytes - at));
    }
    records::Example example;
    auto& features = *example.mutable_features()->mutable_feature();
    features["image"].mutable_bytes_list()->add_value(payload);
    features["label"].mutable_int64_list()->add_value(i % 10);
    RETURN_IF_ERROR(writer->Write(example.SerializeAsString()));
  }
  return writer->Close();
}

}  // namespace
}  // namespace lockstep::data

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--write") {
    const absl::Status written =
        lockstep::data::Write(argv[2], std::strtoull(argv[3], nullptr, 10), std::atoll(argv[4]));
    if (!written.ok()) std::fprintf(stderr, "%s\n", std::string(written.message()).c_str());
    return written.ok() ? 0 : 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
