// How fast records can be read and decoded here.
#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/strings/str_format.h"
#include "proto/example.pb.h"
#include "runtime/core/clock.h"
#include "runtime/data/batcher.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

struct Pass {
  uint64_t bytes = 0;
  int64_t records = 0;
};

// work(item) for items 0 .. count-1 on `threads` threads; the first error.
absl::Status RunOn(int threads, int64_t count, const std::function<absl::Status(int64_t)>& work) {
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  absl::Status first;
  const auto loop = [&] {
    for (int64_t item = next++; item < count; item = next++) {
      const absl::Status status = work(item);
      if (status.ok()) continue;
      std::lock_guard lock(mutex);
      first.Update(status);
      return;
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
  return first;
}

absl::StatusOr<Pass> ReadPass(FileSystem* fs, const std::vector<std::string>& paths, int threads) {
  std::atomic<uint64_t> bytes = 0;
  std::atomic<int64_t> records = 0;
  RETURN_IF_ERROR(RunOn(threads, static_cast<int64_t>(paths.size()), [&](int64_t i) {
    ASSIGN_OR_RETURN(const RecordBytes file, RecordBytes::Open(fs, paths[i]));
    RecordScanner scan(paths[i], file.view());
    int64_t count = 0;
    while (scan.Next()) ++count;
    bytes += file.view().size();
    records += count;
    return scan.status();
  }));
  return Pass{bytes, records};
}

// Every feature of the first record, as it is stored there.
absl::StatusOr<std::vector<FeatureSpec>> SpecsOf(const Dataset& dataset) {
  ASSIGN_OR_RETURN(const absl::string_view record, dataset.Record(0));
  records::Example example;
  if (!example.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
    return DataError(absl::StrCat(dataset.Describe(0), " is not a tf.train.Example"));
  }
  std::vector<FeatureSpec> specs;
  for (const auto& [name, feature] : example.features().feature()) {
    if (feature.has_bytes_list() && feature.bytes_list().value_size() == 1) {
      const auto size = static_cast<int64_t>(feature.bytes_list().value(0).size());
      specs.push_back({.name = name, .type = {DType::kU8, {size}}});
    } else if (feature.has_float_list()) {
      specs.push_back({.name = name, .type = {DType::kF32, {feature.float_list().value_size()}}});
    } else if (feature.has_int64_list()) {
      specs.push_back({.name = name, .type = {DType::kI64, {feature.int64_list().value_size()}}});
    }
  }
  if (specs.empty()) return DataError(absl::StrCat(dataset.Describe(0), " has no feature of a fixed length"));
  return specs;
}

absl::StatusOr<Pass> ParsePass(const Dataset& dataset, const Batcher& batcher, int threads) {
  const int64_t batches = dataset.size() / batcher.plan().global_batch;
  std::vector<std::unique_ptr<Batch>> free;
  std::mutex mutex;
  RETURN_IF_ERROR(RunOn(threads, batches, [&](int64_t step) {
    std::unique_ptr<Batch> batch;
    {
      std::lock_guard lock(mutex);
      if (!free.empty()) {
        batch = std::move(free.back());
        free.pop_back();
      }
    }
    if (batch == nullptr) batch = std::make_unique<Batch>(batcher.MakeBatch());
    const absl::Status status = batcher.Fill(step, 0, 0, batch.get());
    std::lock_guard lock(mutex);
    free.push_back(std::move(batch));
    return status;
  }));
  const int64_t records = batches * batcher.plan().global_batch;
  const double share = static_cast<double>(records) / static_cast<double>(dataset.size());
  return Pass{static_cast<uint64_t>(share * static_cast<double>(dataset.size_bytes())), records};
}

// The best of `repeat` passes.
absl::Status Time(int repeat, const std::function<absl::StatusOr<Pass>()>& run, std::ostream& out) {
  double best = 0;
  Pass of_best;
  for (int i = 0; i < std::max(1, repeat); ++i) {
    const double start = MonotonicSeconds();
    ASSIGN_OR_RETURN(const Pass pass, run());
    const double seconds = MonotonicSeconds() - start;
    if (i > 0 && seconds >= best) continue;
    best = seconds;
    of_best = pass;
  }
  out << absl::StreamFormat("%.2f GB/s  %.0f records/s\n", static_cast<double>(of_best.bytes) / best * 1e-9,
                            static_cast<double>(of_best.records) / best);
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchRecords(FileSystem* fs, const std::vector<std::string>& patterns,
                          const BenchOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  const int threads = std::max(1, options.threads);
  if (!options.parse && !options.shuffle) {
    return Time(
        options.repeat, [&] { return ReadPass(fs, paths, threads); }, out);
  }
  const double start = MonotonicSeconds();
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  out << absl::StreamFormat("# opened and indexed in %.3f s: %d records, %d bytes\n",
                            MonotonicSeconds() - start, dataset->size(), dataset->size_bytes());
  ASSIGN_OR_RETURN(std::vector<FeatureSpec> specs, SpecsOf(*dataset));
  ASSIGN_OR_RETURN(const auto source, MakeExampleSource(dataset, std::move(specs)));
  const Order order(options.shuffle ? OrderKind::kShuffle : OrderKind::kSequential, /*seed=*/1,
                    dataset->size());
  const BatchPlan plan{.global_batch = std::clamp<int64_t>(options.batch, 1, dataset->size())};
  const Batcher batcher(source, order, plan);
  return Time(
      options.repeat, [&] { return ParsePass(*dataset, batcher, threads); }, out);
}

}  // namespace lockstep::data
