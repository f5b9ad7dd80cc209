// Indexes of files that are not in memory.
#include <algorithm>

#include "runtime/data/record_errors.h"
#include "runtime/data/record_index.h"

namespace lockstep::data {
namespace {

// A file as a window that moves over it.
class Window {
 public:
  explicit Window(const ReadableFile& file) : file_(file) {}

  // `size_bytes` bytes at `offset`, or what there is up to the end of the file; valid until the next call.
  absl::StatusOr<absl::string_view> At(uint64_t offset, uint64_t size_bytes) {
    const uint64_t size = std::min(size_bytes, file_.size_bytes() - offset);
    if (offset < begin_ || offset + size > begin_ + bytes_.size()) {
      constexpr uint64_t kWindowBytes = uint64_t{1} << 20;
      bytes_.resize(std::max(size, std::min(kWindowBytes, file_.size_bytes() - offset)));
      begin_ = offset;
      RETURN_IF_ERROR(file_.ReadAt(offset, bytes_.data(), bytes_.size()));
    }
    return absl::string_view(bytes_).substr(offset - begin_, size);
  }

 private:
  const ReadableFile& file_;
  uint64_t begin_ = 0;
  std::string bytes_;
};

// Whether `header` begins a record that ends within the `rest_bytes` that are left.
bool WholeHeader(absl::string_view header, uint64_t rest_bytes, uint64_t* length) {
  if (rest_bytes < kRecordFramingBytes) return false;
  *length = LoadU64(header.data());
  return MaskedCrcOf(header.data(), 8) == LoadU32(header.data() + 8) &&
         *length <= rest_bytes - kRecordFramingBytes;
}

}  // namespace

absl::StatusOr<RecordIndex> RecordIndex::Build(const std::string& path, const ReadableFile& file) {
  RecordIndexBuilder builder;
  Window window(file);
  while (builder.size_bytes() < file.size_bytes()) {
    const uint64_t offset = builder.size_bytes(), rest = file.size_bytes() - offset;
    uint64_t length = 0;
    ASSIGN_OR_RETURN(const absl::string_view header, window.At(offset, kRecordFramingBytes));
    if (!WholeHeader(header, rest, &length))
      return HeaderErrorAt(path, header, rest, offset, builder.records());
    ASSIGN_OR_RETURN(const absl::string_view trailer,
                     window.At(offset + kRecordHeaderBytes + length, kRecordTrailerBytes));
    builder.Add(length, LoadU32(trailer.data()));
  }
  return builder.Finish();
}

absl::StatusOr<bool> RecordIndex::Fits(const ReadableFile& file) const {
  if (file.size_bytes() != size_bytes_) return false;
  for (const int64_t record : {int64_t{0}, records_ - 1}) {
    if (record < 0) continue;
    char header[kRecordHeaderBytes];
    RETURN_IF_ERROR(file.ReadAt(OffsetOf(record), header, sizeof header));
    uint64_t length = 0;
    if (!WholeHeader({header, sizeof header}, size_bytes_ - OffsetOf(record), &length) ||
        length != LengthOf(record))
      return false;
  }
  return true;
}

}  // namespace lockstep::data
