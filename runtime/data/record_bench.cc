// How fast records can be read and decoded here.
#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include "absl/strings/str_format.h"
#include "proto/example.pb.h"
#include "runtime/core/clock.h"
#include "runtime/data/batcher.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/run_on_threads.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

struct Pass {
  uint64_t bytes = 0;
  int64_t records = 0;
};

absl::StatusOr<Pass> ReadPass(FileSystem* fs, const std::vector<std::string>& paths, int threads) {
  std::atomic<uint64_t> bytes = 0;
  std::atomic<int64_t> records = 0;
  RETURN_IF_ERROR(RunOnThreads(threads, static_cast<int64_t>(paths.size()), [&](int64_t i) {
    ASSIGN_OR_RETURN(const RecordBytes file, RecordBytes::Open(fs, paths[i]));
    RecordScanner scan(paths[i], file.view());
    int64_t count = 0;
    while (scan.Next()) ++count;
    bytes += file.view().size();
    records += count;
    return scan.status().ok() ? absl::OkStatus() : file.Explain(paths[i], scan.status());
  }));
  return Pass{bytes, records};
}

// Every feature of the first record, as it is stored there.
absl::StatusOr<std::vector<FeatureSpec>> SpecsOf(const Dataset& dataset) {
  ASSIGN_OR_RETURN(const RecordView record, dataset.Record(0));
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
  // Batches are begun in their order, and announced so many before.
  constexpr int64_t kAhead = 16;
  std::vector<std::shared_ptr<const void>> announced(static_cast<size_t>(batches));
  const auto announce = [&](int64_t step) {
    if (!dataset.reads() || step >= batches) return;
    std::vector<int64_t> samples;
    batcher.AddSamples(step, 0, 0, &samples);
    auto ticket = dataset.Announce(samples);
    std::lock_guard lock(mutex);
    announced[static_cast<size_t>(step)] = std::move(ticket);
  };
  for (int64_t step = 0; step < kAhead; ++step) announce(step);
  RETURN_IF_ERROR(RunOnThreads(threads, batches, [&](int64_t step) {
    std::unique_ptr<Batch> batch;
    announce(step + kAhead);
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
    announced[static_cast<size_t>(step)] = nullptr;
    free.push_back(std::move(batch));
    return status;
  }));
  const int64_t records = batches * batcher.plan().global_batch;
  const double share = static_cast<double>(records) / static_cast<double>(dataset.size());
  return Pass{static_cast<uint64_t>(share * static_cast<double>(dataset.size_bytes())), records};
}

// Reads the files as they are stored, once, into a buffer that is used again: what any reader has to beat.
absl::StatusOr<Pass> BareReadPass(FileSystem* fs, const std::vector<std::string>& paths, int threads) {
  std::atomic<uint64_t> bytes = 0;
  RETURN_IF_ERROR(RunOnThreads(threads, static_cast<int64_t>(paths.size()), [&](int64_t i) {
    ASSIGN_OR_RETURN(const auto file, fs->Open(paths[static_cast<size_t>(i)]));
    std::string buffer(size_t{1} << 20, '\0');
    for (uint64_t at = 0; at < file->size_bytes();) {
      const size_t piece = std::min<uint64_t>(buffer.size(), file->size_bytes() - at);
      RETURN_IF_ERROR(file->ReadAt(at, buffer.data(), piece));
      at += piece;
    }
    bytes += file->size_bytes();
    return absl::OkStatus();
  }));
  return Pass{bytes, 0};
}

using RunPass = std::function<absl::StatusOr<Pass>()>;

// Several passes: the fastest.
class Best {
 public:
  absl::Status Add(const RunPass& run) {
    const double start = MonotonicSeconds();
    ASSIGN_OR_RETURN(const Pass pass, run());
    const double seconds = MonotonicSeconds() - start;
    if (seconds_ > 0 && seconds >= seconds_) return absl::OkStatus();
    seconds_ = seconds;
    pass_ = pass;
    return absl::OkStatus();
  }
  double bytes_per_second() const { return static_cast<double>(pass_.bytes) / seconds_; }
  double records_per_second() const { return static_cast<double>(pass_.records) / seconds_; }

 private:
  double seconds_ = 0;
  Pass pass_;
};

// The best of the passes, and of a baseline's that take turns with them, where there is one.
absl::Status Time(int repeat, const RunPass& run, const RunPass& baseline, std::ostream& out) {
  Best best, bare;
  for (int i = 0; i < std::max(1, repeat); ++i) {
    if (baseline) RETURN_IF_ERROR(bare.Add(baseline));
    RETURN_IF_ERROR(best.Add(run));
  }
  out << absl::StreamFormat("%.2f GB/s  %.0f records/s\n", best.bytes_per_second() * 1e-9,
                            best.records_per_second());
  if (!baseline) return absl::OkStatus();
  out << absl::StreamFormat("# bare read(): %.2f GB/s; this is %.0f %% of it\n",
                            bare.bytes_per_second() * 1e-9,
                            100 * best.bytes_per_second() / bare.bytes_per_second());
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchRecords(FileSystem* fs, const std::vector<std::string>& patterns,
                          const BenchOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  const int threads = std::max(1, options.threads);
  RunPass baseline;
  if (options.baseline) baseline = [&] { return BareReadPass(fs, paths, threads); };
  if (!options.parse && !options.shuffle) {
    return Time(
        options.repeat, [&] { return ReadPass(fs, paths, threads); }, baseline, out);
  }
  const double start = MonotonicSeconds();
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths, {.read = options.read}));
  out << absl::StreamFormat("# opened and indexed in %.3f s: %d records, %d bytes\n",
                            MonotonicSeconds() - start, dataset->size(), dataset->size_bytes());
  ASSIGN_OR_RETURN(std::vector<FeatureSpec> specs, SpecsOf(*dataset));
  ASSIGN_OR_RETURN(const auto source, MakeExampleSource(dataset, std::move(specs)));
  const Order order(options.shuffle ? OrderKind::kShuffle : OrderKind::kSequential, /*seed=*/1,
                    dataset->size());
  const BatchPlan plan{.global_batch = std::clamp<int64_t>(options.batch, 1, dataset->size())};
  const Batcher batcher(source, order, plan);
  return Time(
      options.repeat, [&] { return ParsePass(*dataset, batcher, threads); }, baseline, out);
}

}  // namespace lockstep::data
