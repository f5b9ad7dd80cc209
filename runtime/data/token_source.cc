// Samples that are windows of tokens: of one long row of them, or of documents packed whole.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/data/pack_plan.h"
#include "runtime/data/sources.h"
#include "runtime/data/token_text.h"

namespace lockstep::data {
namespace {

template <typename Id>
class WindowSource final : public SampleSource {
 public:
  explicit WindowSource(TokenText<Id> text) : text_(std::move(text)), windows_(text_.options().windows) {
    const TensorType type{DType::kI32, Shape{windows_.length}};
    inputs_ = {{"tokens", type}, {"targets", type}};
  }

  absl::Status Prepare() {
    const int64_t length = windows_.length, tokens = static_cast<int64_t>(text_.size());
    if (tokens - 1 < length) {
      return DataError(absl::StrCat(text_.dataset().Describe(0), " and what follows: there are ", tokens,
                                    " tokens, and a window of length ", length, " needs ", length,
                                    " and one more as the last target"));
    }
    size_ = (tokens - length - 1) / windows_.stride + 1;
    return absl::OkStatus();
  }

  int64_t size() const override { return size_; }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return text_.fingerprint(); }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    const Id* ids = text_.ids() + sample * windows_.stride;
    std::copy(ids, ids + windows_.length, reinterpret_cast<int32_t*>(outputs[0]));
    std::copy(ids + 1, ids + 1 + windows_.length, reinterpret_cast<int32_t*>(outputs[1]));
    return absl::OkStatus();
  }

  std::string Describe(int64_t sample) const override {
    return text_.Describe(static_cast<size_t>(sample * windows_.stride));
  }

  double BytesPerTarget(int64_t samples) const override {
    if (!text_.HasSizes()) return 0;
    int64_t size_bytes = 0;
    for (int64_t sample = 0; sample < samples; ++sample) {
      const Id* targets = text_.ids() + sample * windows_.stride + 1;
      for (int64_t i = 0; i < windows_.length; ++i) size_bytes += text_.SizeBytes(targets[i]);
    }
    return static_cast<double>(size_bytes) /
           (static_cast<double>(samples) * static_cast<double>(windows_.length));
  }

 private:
  const TokenText<Id> text_;
  const WindowOptions windows_;
  int64_t size_ = 0;
  std::vector<InputSpec> inputs_;
};

// A document of n tokens has n - 1 positions: all tokens but its last, each with the next one as target.
template <typename Id>
class PackedSource final : public SampleSource {
 public:
  explicit PackedSource(TokenText<Id> text)
      : text_(std::move(text)), length_(text_.options().windows.length) {
    const Shape shape{length_};
    inputs_ = {{"tokens", {DType::kI32, shape}},
               {"targets", {DType::kI32, shape}},
               {"targets.mask", {DType::kU8, shape}},
               {"tokens.segment", {DType::kI32, shape}}};
  }

  absl::Status Prepare() {
    std::vector<int64_t> lengths;
    for (size_t record = 0; record < text_.records(); ++record) {
      const auto tokens = static_cast<int64_t>(text_.End(record) - text_.Begin(record));
      lengths.push_back(std::max<int64_t>(0, tokens - 1));
    }
    plan_ = PlanPacks(lengths, length_);
    if (plan_.windows() > 0) return absl::OkStatus();
    return DataError(
        absl::StrCat(text_.dataset().Describe(0),
                     " and what follows: no record has two tokens, one to see and one to predict"));
  }

  int64_t size() const override { return plan_.windows(); }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return text_.fingerprint(); }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    auto* tokens = reinterpret_cast<int32_t*>(outputs[0]);
    auto* targets = reinterpret_cast<int32_t*>(outputs[1]);
    auto* mask = reinterpret_cast<uint8_t*>(outputs[2]);
    auto* segments = reinterpret_cast<int32_t*>(outputs[3]);
    int64_t at = 0;
    int32_t segment = 0;
    for (const PackedPiece& piece : plan_.Window(sample)) {
      const Id* ids = FirstOf(piece);
      std::copy(ids, ids + piece.length, tokens + at);
      std::copy(ids + 1, ids + 1 + piece.length, targets + at);
      std::fill_n(mask + at, piece.length, uint8_t{1});
      std::fill_n(segments + at, piece.length, ++segment);
      at += piece.length;
    }
    std::fill(tokens + at, tokens + length_, 0);
    std::fill(targets + at, targets + length_, 0);
    std::fill(mask + at, mask + length_, uint8_t{0});
    std::fill(segments + at, segments + length_, 0);
    return absl::OkStatus();
  }

  std::string Describe(int64_t sample) const override {
    const auto pieces = plan_.Window(sample);
    std::string text = text_.Describe(static_cast<size_t>(FirstOf(pieces[0]) - text_.ids()));
    if (pieces.size() > 1) absl::StrAppend(&text, " and ", pieces.size() - 1, " more documents");
    return text;
  }

  double BytesPerTarget(int64_t samples) const override {
    if (!text_.HasSizes()) return 0;
    int64_t size_bytes = 0, targets = 0;
    for (int64_t sample = 0; sample < samples; ++sample) {
      for (const PackedPiece& piece : plan_.Window(sample)) {
        const Id* ids = FirstOf(piece) + 1;
        for (int64_t i = 0; i < piece.length; ++i) size_bytes += text_.SizeBytes(ids[i]);
        targets += piece.length;
      }
    }
    return static_cast<double>(size_bytes) / static_cast<double>(targets);
  }

 private:
  const Id* FirstOf(const PackedPiece& piece) const {
    return text_.ids() + text_.Begin(static_cast<size_t>(piece.document)) + piece.first;
  }

  const TokenText<Id> text_;
  const int64_t length_;
  PackPlan plan_;
  std::vector<InputSpec> inputs_;
};

template <typename Source>
absl::StatusOr<std::shared_ptr<const SampleSource>> Prepared(std::shared_ptr<Source> source) {
  RETURN_IF_ERROR(source->Prepare());
  return std::shared_ptr<const SampleSource>(std::move(source));
}

template <typename Id>
absl::StatusOr<std::shared_ptr<const SampleSource>> Open(std::shared_ptr<const Dataset> dataset,
                                                         TokenOptions options, int64_t vocabulary,
                                                         std::optional<int32_t> separator) {
  const bool packed = options.packed;
  TokenText<Id> text(std::move(dataset), std::move(options), vocabulary);
  RETURN_IF_ERROR(text.Load(separator));
  if (packed) return Prepared(std::make_shared<PackedSource<Id>>(std::move(text)));
  return Prepared(std::make_shared<WindowSource<Id>>(std::move(text)));
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
