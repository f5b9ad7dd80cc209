#include "runtime/data/record_file.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/data/decompress.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/record_sidecar.h"

namespace lockstep::data {

namespace {

// "1f 8b 08 ..." of what a file begins with.
std::string FirstBytes(absl::string_view bytes) {
  std::string text;
  for (const unsigned char byte : bytes.substr(0, 4)) absl::StrAppendFormat(&text, " %02x", byte);
  return text;
}

absl::Status CheckCompression(const std::string& path, absl::string_view bytes, Compression found,
                              const std::optional<Compression>& wanted) {
  if (!wanted.has_value() || *wanted == found) return absl::OkStatus();
  const std::string is =
      found == Compression::kNone
          ? absl::StrCat("does not begin as a compressed file (first bytes", FirstBytes(bytes), ")")
          : absl::StrCat("is ", NameOf(found), " by its first bytes");
  return DataError(absl::StrCat(path, " has the wrong compression type: data.compression says ",
                                NameOf(*wanted), ", and the file ", is));
}

// Where in the records the damage of a compressed stream shows: what came out of it, scanned.
std::string WhatCameOut(const std::string& path, absl::string_view bytes) {
  RecordScanner scan(path, bytes);
  int64_t whole = 0;
  while (scan.Next()) ++whole;
  if (scan.status().ok()) return absl::StrCat("; the ", whole, " records that came out are whole");
  return absl::StrCat("; in what came out: ", scan.status().message());
}

}  // namespace

absl::StatusOr<RecordBytes> RecordBytes::Open(FileSystem* fs, const std::string& path,
                                              const RecordBytesOptions& options) {
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
  bytes.stored_ = {size_bytes, bytes.file_->modified_ns(), DetectCompression(bytes.view_), 0};
  RETURN_IF_ERROR(CheckCompression(path, bytes.view_, bytes.stored_.compression, options.compression));
  if (bytes.stored_.compression != Compression::kNone) RETURN_IF_ERROR(bytes.Unpack(path, options));
  return bytes;
}

absl::Status RecordBytes::Unpack(const std::string& path, const RecordBytesOptions& options) {
  unpacked_.emplace(options.budget != nullptr ? options.budget
                                              : std::make_shared<MemoryBudget>(MemoryBudget::DefaultBytes()));
  stored_.crc = Crc32c(0, view_.data(), view_.size());
  const absl::Status status = Decompress(path, stored_.compression, view_, &*unpacked_);
  if (!status.ok())
    return Explain(path, DataError(absl::StrCat(status.message(), WhatCameOut(path, unpacked_->view()))));
  RETURN_IF_ERROR(CheckWhole(path));
  view_ = unpacked_->view();
  file_.reset();
  contents_.reset();
  if (view_.empty())
    return DataError(absl::StrCat(path, " is empty: decompressed it has 0 bytes, no record"));
  return absl::OkStatus();
}

absl::Status RecordBytes::CheckWhole(const std::string& path) const {
  return file_ == nullptr || !file_->LostBytes() ? absl::OkStatus() : Shorter(path);
}

absl::Status RecordBytes::Explain(const std::string& path, absl::Status error) const {
  // Behind the new end, but on its last page, there are zeros without any fault: only the size tells.
  const bool shorter = file_ != nullptr && file_->CurrentSizeBytes() < stored_.size_bytes;
  return shorter ? Shorter(path) : error;
}

absl::Status RecordBytes::Confirm(const std::string& path, uint64_t offset, uint64_t size_bytes,
                                  int64_t record, const absl::Status& error) const {
  RETURN_IF_ERROR(CheckWhole(path));
  const absl::Status explained = Explain(path, error);
  if (explained != error || offset + size_bytes > view_.size()) return explained;
  if (file_ != nullptr) {
    std::string again(size_bytes, '\0');
    const absl::Status read = file_->ReadAt(offset, again.data(), again.size());
    if (!read.ok()) return DataError(read.message());
    if (again != view_.substr(offset, size_bytes)) {
      return DataError(absl::StrCat(error.message(),
                                    "; read once more, the file has other bytes there: its disk, or this "
                                    "machine's memory, cannot be relied on"));
    }
  }
  return WithDamage(error, path, view_, offset, record);
}

absl::Status RecordBytes::Shorter(const std::string& path) const {
  return DataError(absl::StrCat(path, " has become shorter while it was read: it had ", stored_.size_bytes,
                                " bytes when it was opened, and now has ", file_->CurrentSizeBytes()));
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

absl::StatusOr<std::unique_ptr<RecordFile>> RecordFile::Open(FileSystem* fs, const std::string& path,
                                                             RecordFileOptions options) {
  ASSIGN_OR_RETURN(RecordBytes bytes, RecordBytes::Open(fs, path, options.bytes));
  std::optional<RecordIndex> index;
  if (options.use_sidecar) {
    ASSIGN_OR_RETURN(index, ReadSidecar(fs, path, bytes));
  }
  if (!index.has_value()) {
    absl::StatusOr<RecordIndex> built = RecordIndex::Build(path, bytes.view());
    if (!built.ok()) return bytes.Explain(path, built.status());
    index = *std::move(built);
  }
  return std::unique_ptr<RecordFile>(new RecordFile(path, std::move(bytes), *std::move(index)));
}

absl::StatusOr<absl::string_view> RecordFile::Record(int64_t record) const {
  const uint64_t offset = index_.OffsetOf(record);
  uint64_t length = 0;
  if (!WholeRecordAt(bytes_.view(), offset, &length)) {
    return bytes_.Confirm(path_, offset, kRecordHeaderBytes, record,
                          HeaderError(path_, bytes_.view(), offset, record));
  }
  if (length != index_.LengthOf(record)) {
    return DataError(absl::StrCat(path_, ", byte ", offset, ", record ", record, ": the length is ", length,
                                  ", and its index says ", index_.LengthOf(record),
                                  "; the file has changed: run `lockstep records index` on it"));
  }
  const absl::string_view payload = bytes_.view().substr(offset + kRecordHeaderBytes, length);
  if (MaskedCrcOf(payload.data(), length) != LoadU32(payload.data() + length)) {
    return bytes_.Confirm(path_, offset, kRecordFramingBytes + length, record,
                          PayloadError(path_, bytes_.view(), offset, record));
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
