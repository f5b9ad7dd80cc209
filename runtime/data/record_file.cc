#include "runtime/data/record_file.h"

#include <utility>

#include "runtime/data/record_errors.h"

namespace lockstep::data {

absl::StatusOr<RecordBytes> RecordBytes::Open(FileSystem* fs, const std::string& path) {
  auto file = fs->Open(path);
  if (!file.ok()) return DataError(file.status().message());
  RecordBytes bytes;
  bytes.file_ = *std::move(file);
  const uint64_t size_bytes = bytes.file_->size_bytes();
  if (size_bytes == 0) return DataError(absl::StrCat(path, " is empty: 0 bytes, no record"));
  bytes.view_ = bytes.file_->Mapped();
  if (bytes.view_.empty()) {
    bytes.contents_.reset(new char[size_bytes]);  // not zeroed first
    const absl::Status read = bytes.file_->ReadAt(0, bytes.contents_.get(), size_bytes);
    if (!read.ok()) return DataError(read.message());
    bytes.view_ = absl::string_view(bytes.contents_.get(), size_bytes);
  }
  return bytes;
}

bool RecordScanner::Next() {
  if (!status_.ok() || next_ >= bytes_.size()) return false;
  ++record_;
  offset_ = next_;
  uint64_t length = 0;
  if (!WholeRecordAt(bytes_, offset_, &length)) {
    status_ = HeaderError(path_, bytes_, offset_, record_);
    skippable_ = false;
    return false;
  }
  next_ = offset_ + kRecordFramingBytes + length;
  payload_ = bytes_.substr(offset_ + kRecordHeaderBytes, length);
  if (MaskedCrcOf(payload_.data(), length) != LoadU32(payload_.data() + length)) {
    status_ = PayloadError(path_, bytes_, offset_, record_);
    skippable_ = true;
    return false;
  }
  return true;
}

bool RecordScanner::Skip() {
  if (status_.ok() || !skippable_) return false;
  status_ = absl::OkStatus();
  return true;
}

namespace {

// The sidecar of `path` when there is one that fits.
absl::StatusOr<RecordIndex> ReadSidecar(FileSystem* fs, const std::string& path, absl::string_view bytes) {
  const std::string index_path = IndexPathOf(path);
  if (!fs->Exists(index_path)) return absl::NotFoundError("no index");
  ASSIGN_OR_RETURN(const std::string contents, ReadWholeFile(fs, index_path));
  ASSIGN_OR_RETURN(RecordIndex index, RecordIndex::Decode(index_path, contents));
  if (!index.Fits(bytes))
    return DataError(absl::StrCat(index_path, " is of another file or an older state of it"));
  return index;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RecordFile>> RecordFile::Open(FileSystem* fs, const std::string& path,
                                                             RecordFileOptions options) {
  ASSIGN_OR_RETURN(RecordBytes bytes, RecordBytes::Open(fs, path));
  if (options.use_sidecar) {
    absl::StatusOr<RecordIndex> index = ReadSidecar(fs, path, bytes.view());
    if (index.ok())
      return std::unique_ptr<RecordFile>(new RecordFile(path, std::move(bytes), *std::move(index)));
  }
  ASSIGN_OR_RETURN(RecordIndex index, RecordIndex::Build(path, bytes.view()));
  return std::unique_ptr<RecordFile>(new RecordFile(path, std::move(bytes), std::move(index)));
}

absl::StatusOr<absl::string_view> RecordFile::Record(int64_t record) const {
  const uint64_t offset = index_.OffsetOf(record);
  uint64_t length = 0;
  if (!WholeRecordAt(bytes_.view(), offset, &length))
    return HeaderError(path_, bytes_.view(), offset, record);
  if (length != index_.LengthOf(record)) {
    return DataError(absl::StrCat(path_, ", byte ", offset, ", record ", record, ": the length is ", length,
                                  ", and its index says ", index_.LengthOf(record),
                                  "; the file has changed: run `lockstep records index` on it"));
  }
  const absl::string_view payload = bytes_.view().substr(offset + kRecordHeaderBytes, length);
  if (MaskedCrcOf(payload.data(), length) != LoadU32(payload.data() + length)) {
    return PayloadError(path_, bytes_.view(), offset, record);
  }
  return payload;
}

void RecordFile::Prefetch(int64_t record) const {
  constexpr uint64_t kLineBytes = 64, kLines = 6;  // from there on the processor sees the pattern
  const char* begin = bytes_.view().data() + index_.OffsetOf(record);
  const char* end = bytes_.view().data() + index_.OffsetOf(record + 1);
  for (uint64_t i = 0; i < kLines && begin + i * kLineBytes < end; ++i)
    __builtin_prefetch(begin + i * kLineBytes);
}

}  // namespace lockstep::data
