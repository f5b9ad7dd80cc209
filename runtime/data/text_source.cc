// Samples that are windows of one long text.
#include <algorithm>
#include <utility>

#include "runtime/core/hash.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

// Whatever the pieces of text lie in: records or plain files.
struct Text {
  std::shared_ptr<const void> owner;  // keeps the pieces alive
  std::vector<absl::string_view> pieces;
  std::vector<std::string> names;  // of the pieces, for people
  std::string fingerprint;
};

class TextSource final : public SampleSource {
 public:
  TextSource(Text text, WindowOptions options, int64_t windows, std::vector<int64_t> ends)
      : text_(std::move(text)), options_(options), windows_(windows), ends_(std::move(ends)) {
    const TensorType type{DType::kI32, Shape{options.length}};
    inputs_ = {{"tokens", type}, {"targets", type}};
  }

  int64_t size() const override { return windows_; }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return text_.fingerprint; }

  double BytesPerTarget(int64_t /*samples*/) const override { return 1; }

  std::string Describe(int64_t sample) const override {
    const int64_t token = sample * options_.stride;
    const size_t piece = PieceOf(token);
    return absl::StrCat(text_.names[piece], ", byte ", token - Begin(piece), " of its text");
  }

  // A window of length + 1 bytes gives tokens (all but the last) and targets (all but the first).
  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    auto* tokens = reinterpret_cast<int32_t*>(outputs[0]);
    auto* targets = reinterpret_cast<int32_t*>(outputs[1]);
    const int64_t first = sample * options_.stride;
    size_t piece = PieceOf(first);
    int64_t done = 0;
    while (done <= options_.length) {
      const int64_t from = first + done - Begin(piece);
      const int64_t count = std::min(ends_[piece] - (first + done), options_.length + 1 - done);
      const auto* bytes = reinterpret_cast<const uint8_t*>(text_.pieces[piece].data()) + from;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = done + i;
        if (at < options_.length) tokens[at] = bytes[i];
        if (at > 0) targets[at - 1] = bytes[i];
      }
      done += count;
      ++piece;
    }
    return absl::OkStatus();
  }

 private:
  int64_t Begin(size_t piece) const { return piece == 0 ? 0 : ends_[piece - 1]; }
  size_t PieceOf(int64_t token) const {
    return std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin();
  }

  const Text text_;
  const WindowOptions options_;
  const int64_t windows_;
  const std::vector<int64_t> ends_;  // tokens up to and with each piece
  std::vector<InputSpec> inputs_;
};

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeWindows(Text text, WindowOptions options) {
  if (options.stride == 0) options.stride = options.length;
  if (options.length < 1 || options.stride < 1) {
    return ConfigError(absl::StrCat("text windows need a length and a stride of at least 1, not ",
                                    options.length, " and ", options.stride));
  }
  std::vector<int64_t> ends;
  int64_t tokens = 0;
  for (absl::string_view piece : text.pieces) ends.push_back(tokens += static_cast<int64_t>(piece.size()));
  if (tokens - 1 < options.length) {
    return DataError(absl::StrCat(text.names.front(), " and what follows: the text has ", tokens,
                                  " bytes, and a window of length ", options.length, " needs ",
                                  options.length, " and one more as the last target"));
  }
  const int64_t windows = (tokens - options.length - 1) / options.stride + 1;
  return std::make_shared<const TextSource>(std::move(text), options, windows, std::move(ends));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTextSource(std::shared_ptr<const Dataset> dataset,
                                                                   const std::string& feature,
                                                                   WindowOptions options) {
  struct Held {
    std::shared_ptr<const Dataset> dataset;
    std::vector<RecordView> records;
  };
  auto held = std::make_shared<Held>();
  Text text;
  DatasetPass pass(dataset.get(), 0, dataset->size());
  for (int64_t id = 0; id < dataset->size(); ++id) {
    ASSIGN_OR_RETURN(RecordView record, pass.Record(id));
    const auto piece = BytesFeature(record, feature);
    if (!piece.ok()) return Annotate(piece.status(), dataset->Describe(id));
    text.pieces.push_back(*piece);
    text.names.push_back(dataset->Describe(id));
    held->records.push_back(std::move(record));
  }
  text.fingerprint = dataset->fingerprint();
  held->dataset = std::move(dataset);
  text.owner = std::move(held);
  return MakeWindows(std::move(text), options);
}

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTextFileSource(
    FileSystem* fs, const std::vector<std::string>& patterns, WindowOptions options) {
  auto held = std::make_shared<std::vector<RecordBytes>>();
  Text text;
  Sha256 hash;
  for (const std::string& pattern : patterns) {
    auto paths = Glob(fs, pattern);
    if (!paths.ok()) return DataError(paths.status().message());
    for (const std::string& path : *paths) {
      ASSIGN_OR_RETURN(RecordBytes bytes, RecordBytes::Open(fs, path));
      hash.UpdateU64(bytes.view().size());
      hash.Update(bytes.view());
      text.pieces.push_back(bytes.view());
      text.names.push_back(path);
      held->push_back(std::move(bytes));
    }
  }
  if (text.pieces.empty()) return DataError("no text file is given");
  text.fingerprint = hash.Hex();
  text.owner = std::move(held);
  return MakeWindows(std::move(text), options);
}

}  // namespace lockstep::data
