#include "runtime/data/record_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/data/decompress.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/record_sidecar.h"
#include "runtime/data/remote/url.h"

namespace lockstep::data {

namespace {

constexpr char kOtherBytes[] =
    "; read once more, the file has other bytes there: its disk, or this machine's memory, cannot be relied "
    "on";

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
  if (!file.ok()) return IsRemote(path) ? file.status() : DataError(file.status().message());
  RecordBytes bytes;
  bytes.file_ = *std::move(file);
  const uint64_t size_bytes = bytes.file_->size_bytes();
  if (size_bytes == 0) return DataError(absl::StrCat(path, " is empty: 0 bytes, no record"));
  bytes.view_ = bytes.file_->Mapped();
  char begin[16];
  const size_t known = std::min<uint64_t>(size_bytes, sizeof begin);
  if (bytes.view_.empty()) {
    RETURN_IF_ERROR(bytes.file_->ReadAt(0, begin, known));
  } else {
    std::memcpy(begin, bytes.view_.data(), known);
  }
  bytes.stored_ = {size_bytes, bytes.file_->modified_ns(), DetectCompression({begin, known}), 0};
  RETURN_IF_ERROR(CheckCompression(path, {begin, known}, bytes.stored_.compression, options.compression));
  const bool plain = bytes.stored_.compression == Compression::kNone;
  if (bytes.view_.empty() && !(plain && options.by_pieces)) RETURN_IF_ERROR(bytes.ReadWhole(path, options));
  if (!plain) RETURN_IF_ERROR(bytes.Unpack(path, options));
  return bytes;
}

namespace {

std::shared_ptr<MemoryBudget> BudgetOf(const RecordBytesOptions& options) {
  return options.budget != nullptr ? options.budget
                                   : std::make_shared<MemoryBudget>(MemoryBudget::DefaultBytes());
}

}  // namespace

absl::Status RecordBytes::ReadWhole(const std::string& path, const RecordBytesOptions& options) {
  constexpr size_t kMostBytes = size_t{8} << 20;  // of a read
  contents_.emplace(BudgetOf(options));
  for (uint64_t at = 0; at < stored_.size_bytes;) {
    auto room = contents_->Room();
    if (!room.ok()) {
      return DataError(absl::StrCat(path, " cannot be mapped, and its ", stored_.size_bytes,
                                    " bytes do not fit into memory: ", room.status().message()));
    }
    const size_t piece = std::min<uint64_t>({room->size(), kMostBytes, stored_.size_bytes - at});
    RETURN_IF_ERROR(file_->ReadAt(at, room->data(), piece));
    contents_->Add(piece);
    at += piece;
  }
  contents_->Trim();
  view_ = contents_->view();
  return absl::OkStatus();
}

absl::Status RecordBytes::Unpack(const std::string& path, const RecordBytesOptions& options) {
  unpacked_.emplace(BudgetOf(options));
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
      return DataError(absl::StrCat(error.message(), kOtherBytes));
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
  options.bytes.by_pieces = true;
  ASSIGN_OR_RETURN(RecordBytes bytes, RecordBytes::Open(fs, path, options.bytes));
  std::optional<RecordIndex> index;
  if (options.use_sidecar) {
    ASSIGN_OR_RETURN(index, ReadSidecar(fs, path, bytes));
  }
  if (!index.has_value()) {
    absl::StatusOr<RecordIndex> built =
        bytes.in_memory() ? RecordIndex::Build(path, bytes.view()) : RecordIndex::Build(path, *bytes.file());
    if (!built.ok()) return bytes.Explain(path, built.status());
    index = *std::move(built);
  }
  return std::unique_ptr<RecordFile>(new RecordFile(path, std::move(bytes), *std::move(index)));
}

absl::Status RecordFile::IndexError(int64_t record, uint64_t length) const {
  return DataError(absl::StrCat(path_, ", byte ", index_.OffsetOf(record), ", record ", record,
                                ": the length is ", length, ", and its index says ", index_.LengthOf(record),
                                "; the file has changed: run `lockstep records index` on it"));
}

absl::StatusOr<RecordView> RecordFile::Record(int64_t record) const {
  const uint64_t offset = index_.OffsetOf(record);
  if (!in_memory()) {
    const size_t size_bytes = index_.OffsetOf(record + 1) - offset;
    std::shared_ptr<char[]> read(new char[size_bytes]);
    RETURN_IF_ERROR(file()->ReadAt(offset, read.get(), size_bytes));
    ASSIGN_OR_RETURN(const absl::string_view payload, Check(record, {read.get(), size_bytes}));
    return RecordView(payload, std::move(read));
  }
  uint64_t length = 0;
  if (!WholeRecordAt(bytes_.view(), offset, &length)) {
    return bytes_.Confirm(path_, offset, kRecordHeaderBytes, record,
                          HeaderError(path_, bytes_.view(), offset, record));
  }
  if (length != index_.LengthOf(record)) return IndexError(record, length);
  const absl::string_view payload = bytes_.view().substr(offset + kRecordHeaderBytes, length);
  if (MaskedCrcOf(payload.data(), length) != LoadU32(payload.data() + length)) {
    return bytes_.Confirm(path_, offset, kRecordFramingBytes + length, record,
                          PayloadError(path_, bytes_.view(), offset, record));
  }
  return RecordView(payload);
}

absl::StatusOr<absl::string_view> RecordFile::Check(int64_t record, absl::string_view record_bytes) const {
  const uint64_t offset = index_.OffsetOf(record);
  const char* header = record_bytes.data();
  const uint64_t length = LoadU64(header);
  if (MaskedCrcOf(header, 8) != LoadU32(header + 8) || length > size_bytes() - offset - kRecordFramingBytes)
    return ConfirmRead(record, record_bytes,
                       HeaderErrorAt(path_, record_bytes, size_bytes() - offset, offset, record));
  if (length != record_bytes.size() - kRecordFramingBytes) return IndexError(record, length);
  const absl::string_view payload = record_bytes.substr(kRecordHeaderBytes, length);
  if (MaskedCrcOf(payload.data(), length) != LoadU32(payload.data() + length)) {
    return ConfirmRead(record, record_bytes, PayloadErrorAt(path_, record_bytes, offset, record));
  }
  return payload;
}

absl::Status RecordFile::ConfirmRead(int64_t record, absl::string_view record_bytes,
                                     const absl::Status& error) const {
  const uint64_t offset = index_.OffsetOf(record);
  const absl::Status explained = bytes_.Explain(path_, error);
  if (explained != error) return explained;
  std::string again(record_bytes.size(), '\0');
  RETURN_IF_ERROR(file()->ReadAt(offset, again.data(), again.size()));
  if (again == record_bytes) return WithDamageAt(error, path_, record_bytes, offset, record);
  return DataError(absl::StrCat(error.message(), kOtherBytes));
}

void RecordFile::Prefetch(int64_t record) const {
  if (!in_memory()) return;
  constexpr uint64_t kLineBytes = 64, kLines = 6;  // from there on the processor sees the pattern
  const char* begin = bytes_.view().data() + index_.OffsetOf(record);
  const char* end = bytes_.view().data() + index_.OffsetOf(record + 1);
  for (uint64_t i = 0; i < kLines && begin + i * kLineBytes < end; ++i)
    __builtin_prefetch(begin + i * kLineBytes);
}

}  // namespace lockstep::data
