// Samples that are windows of one long row of tokens.
#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "proto/example.pb.h"
#include "runtime/core/hash.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

constexpr int kMostThreads = 16;

// The ids of one record, in order.
class RecordReader {
 public:
  RecordReader(const Dataset& dataset, const TokenOptions& options, int64_t vocabulary)
      : dataset_(dataset), pass_(&dataset, 0, dataset.size()), options_(options), vocabulary_(vocabulary) {}

  // `id` never falls from one call to the next.
  absl::Status Read(int64_t id, std::vector<int32_t>* ids) {
    ids->clear();
    ASSIGN_OR_RETURN(const RecordView record, pass_.Record(id));
    const absl::Status status = ReadRecord(record, ids);
    return status.ok() ? status : Annotate(status, dataset_.Describe(id));
  }

 private:
  absl::Status ReadRecord(absl::string_view record, std::vector<int32_t>* ids) {
    if (options_.holds_ids && options_.id_bytes == 0) return ReadIntegers(record, ids);
    ASSIGN_OR_RETURN(const absl::string_view bytes, BytesFeature(record, options_.feature));
    if (options_.holds_ids) return ReadPacked(bytes, ids);
    options_.tokenizer->Encode(bytes, ids, &cache_);
    return absl::OkStatus();
  }

  absl::Status ReadIntegers(absl::string_view record, std::vector<int32_t>* ids) {
    records::Example example;
    if (!example.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
      return DataError("is no tf.train.Example");
    }
    const auto& features = example.features().feature();
    const auto at = features.find(options_.feature);
    if (at == features.end()) return DataError(absl::StrCat("has no feature '", options_.feature, "'"));
    if (!at->second.has_int64_list()) {
      return DataError(absl::StrCat("feature '", options_.feature,
                                    "' is no int64_list; for ids written as bytes, ",
                                    "say how many one takes with data.text.token_bytes"));
    }
    for (const int64_t value : at->second.int64_list().value()) {
      RETURN_IF_ERROR(Add(static_cast<uint64_t>(value), ids));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPacked(absl::string_view bytes, std::vector<int32_t>* ids) {
    const auto size = static_cast<size_t>(options_.id_bytes);
    if (bytes.size() % size != 0) {
      return DataError(absl::StrCat("feature '", options_.feature, "' has ", bytes.size(),
                                    " bytes, which are no whole number of ids of ", size));
    }
    for (size_t at = 0; at < bytes.size(); at += size) {
      uint64_t value = 0;
      for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
      RETURN_IF_ERROR(Add(value, ids));
    }
    return absl::OkStatus();
  }

  absl::Status Add(uint64_t value, std::vector<int32_t>* ids) const {
    if (value >= static_cast<uint64_t>(vocabulary_)) {
      return DataError(absl::StrCat("feature '", options_.feature, "', element ", ids->size(), ": the id ",
                                    static_cast<int64_t>(value), " is not in [0, ", vocabulary_, ")"));
    }
    ids->push_back(static_cast<int32_t>(value));
    return absl::OkStatus();
  }

  const Dataset& dataset_;
  DatasetPass pass_;
  const TokenOptions& options_;
  const int64_t vocabulary_;
  Tokenizer::Cache cache_;
};

// All tokens, in 2 bytes each where that is enough.
template <typename Id>
class TokenSource final : public SampleSource {
 public:
  TokenSource(std::shared_ptr<const Dataset> dataset, TokenOptions options, int64_t vocabulary)
      : dataset_(std::move(dataset)), options_(std::move(options)), vocabulary_(vocabulary) {
    const TensorType type{DType::kI32, Shape{options_.windows.length}};
    inputs_ = {{"tokens", type}, {"targets", type}};
    fingerprint_ = dataset_->fingerprint();
    if (options_.tokenizer == nullptr) return;
    Sha256 hash;
    hash.Update(fingerprint_);
    hash.Update(options_.tokenizer->fingerprint());
    fingerprint_ = hash.Hex();
  }

  // Reads all records, with several threads; what comes out does not depend on how many.
  absl::Status Load(std::optional<int32_t> separator) {
    std::vector<std::vector<Id>> records(static_cast<size_t>(dataset_->size()));
    RETURN_IF_ERROR(ReadAll(&records));
    size_t total = 0;
    for (const auto& record : records) ends_.push_back(total += record.size() + (separator ? 1 : 0));
    ids_.reserve(total);
    for (auto& record : records) {
      ids_.insert(ids_.end(), record.begin(), record.end());
      if (separator) ids_.push_back(static_cast<Id>(*separator));
      std::vector<Id>().swap(record);
    }
    const int64_t length = options_.windows.length, tokens = static_cast<int64_t>(total);
    if (tokens - 1 < length) {
      return DataError(absl::StrCat(dataset_->Describe(0), " and what follows: there are ", tokens,
                                    " tokens, and a window of length ", length, " needs ", length,
                                    " and one more as the last target"));
    }
    windows_ = (tokens - length - 1) / options_.windows.stride + 1;
    return absl::OkStatus();
  }

  int64_t size() const override { return windows_; }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return fingerprint_; }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    const Id* ids = ids_.data() + sample * options_.windows.stride;
    std::copy(ids, ids + options_.windows.length, reinterpret_cast<int32_t*>(outputs[0]));
    std::copy(ids + 1, ids + 1 + options_.windows.length, reinterpret_cast<int32_t*>(outputs[1]));
    return absl::OkStatus();
  }

  std::string Describe(int64_t sample) const override {
    const auto token = static_cast<size_t>(sample * options_.windows.stride);
    const size_t record = std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin();
    return absl::StrCat(dataset_->Describe(static_cast<int64_t>(record)), ", token ",
                        token - (record == 0 ? 0 : ends_[record - 1]));
  }

  double BytesPerTarget(int64_t samples) const override {
    const Tokenizer* tokenizer = options_.tokenizer.get();
    if (tokenizer == nullptr || !tokenizer->lossless()) return 0;
    const int64_t length = options_.windows.length;
    int64_t size_bytes = 0;
    for (int64_t sample = 0; sample < samples; ++sample) {
      const Id* targets = ids_.data() + sample * options_.windows.stride + 1;
      for (int64_t i = 0; i < length; ++i)
        size_bytes += tokenizer->size_bytes(static_cast<int32_t>(targets[i]));
    }
    return static_cast<double>(size_bytes) / (static_cast<double>(samples) * static_cast<double>(length));
  }

 private:
  absl::Status ReadAll(std::vector<std::vector<Id>>* records) const {
    std::atomic<size_t> next{0};
    std::mutex mutex;
    size_t failed = records->size();  // the first record of an error, the same with any number of threads
    absl::Status failure;
    const auto work = [&] {
      RecordReader reader(*dataset_, options_, vocabulary_);
      std::vector<int32_t> ids;
      for (size_t id; (id = next++) < records->size();) {
        absl::Status status = reader.Read(static_cast<int64_t>(id), &ids);
        if (status.ok()) {
          (*records)[id].assign(ids.begin(), ids.end());
          continue;
        }
        std::lock_guard lock(mutex);
        if (id < failed) failure = std::move(status);
        failed = std::min(failed, id);
        return;  // records before this one are already taken by someone
      }
    };
    const int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
    std::vector<std::thread> team;
    for (int i = 1; i < threads; ++i) team.emplace_back(work);
    work();
    for (std::thread& thread : team) thread.join();
    return failure;
  }

  const std::shared_ptr<const Dataset> dataset_;
  const TokenOptions options_;
  const int64_t vocabulary_;
  std::vector<Id> ids_;
  std::vector<size_t> ends_;  // tokens up to and with each record
  int64_t windows_ = 0;
  std::vector<InputSpec> inputs_;
  std::string fingerprint_;
};

template <typename Id>
absl::StatusOr<std::shared_ptr<const SampleSource>> Open(std::shared_ptr<const Dataset> dataset,
                                                         TokenOptions options, int64_t vocabulary,
                                                         std::optional<int32_t> separator) {
  auto source = std::make_shared<TokenSource<Id>>(std::move(dataset), std::move(options), vocabulary);
  RETURN_IF_ERROR(source->Load(separator));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTokenSource(std::shared_ptr<const Dataset> dataset,
                                                                    TokenOptions options) {
  WindowOptions& windows = options.windows;
  if (windows.stride == 0) windows.stride = windows.length;
  if (windows.length < 1 || windows.stride < 1) {
    return ConfigError(absl::StrCat("token windows need a length and a stride of at least 1, not ",
                                    windows.length, " and ", windows.stride));
  }
  const Tokenizer* tokenizer = options.tokenizer.get();
  if (tokenizer == nullptr && (!options.holds_ids || !options.separator.empty())) {
    return ConfigError("text as tokens, and a separator, need a tokenizer");
  }
  int64_t vocabulary = options.vocabulary;
  if (vocabulary == 0 && tokenizer != nullptr) vocabulary = tokenizer->vocabulary_size();
  if (vocabulary < 1 || vocabulary > std::numeric_limits<int32_t>::max()) {
    return ConfigError("records of ids without a tokenizer need the size of the vocabulary");
  }
  if (tokenizer != nullptr && vocabulary < tokenizer->vocabulary_size()) {
    return ConfigError(absl::StrCat("the vocabulary is given as ", vocabulary, ", but the tokenizer has ",
                                    tokenizer->vocabulary_size(), " tokens"));
  }
  std::optional<int32_t> separator;
  if (!options.separator.empty()) {
    separator = tokenizer->Find(options.separator);
    if (!separator) return ConfigError(absl::StrCat("the tokenizer has no token '", options.separator, "'"));
  }
  return vocabulary <= 65536 ? Open<uint16_t>(std::move(dataset), std::move(options), vocabulary, separator)
                             : Open<uint32_t>(std::move(dataset), std::move(options), vocabulary, separator);
}

}  // namespace lockstep::data
