#include "runtime/data/token_text.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "proto/example.pb.h"
#include "runtime/core/hash.h"
#include "runtime/data/example_parser.h"

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

}  // namespace

template <typename Id>
TokenText<Id>::TokenText(std::shared_ptr<const Dataset> dataset, TokenOptions options, int64_t vocabulary)
    : dataset_(std::move(dataset)), options_(std::move(options)), vocabulary_(vocabulary) {
  fingerprint_ = dataset_->fingerprint();
  if (options_.tokenizer == nullptr) return;
  Sha256 hash;
  hash.Update(fingerprint_);
  hash.Update(options_.tokenizer->fingerprint());
  fingerprint_ = hash.Hex();
}

template <typename Id>
absl::Status TokenText<Id>::Load(std::optional<int32_t> separator) {
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
  return absl::OkStatus();
}

template <typename Id>
absl::Status TokenText<Id>::ReadAll(std::vector<std::vector<Id>>* records) const {
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

template <typename Id>
std::string TokenText<Id>::Describe(size_t token) const {
  const size_t record = std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin();
  return absl::StrCat(dataset_->Describe(static_cast<int64_t>(record)), ", token ", token - Begin(record));
}

template class TokenText<uint16_t>;
template class TokenText<uint32_t>;

}  // namespace lockstep::data
