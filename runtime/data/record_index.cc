#include "runtime/data/record_index.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "runtime/core/rng.h"
#include "runtime/data/record_errors.h"

namespace lockstep::data {
namespace {

constexpr absl::string_view kMagic("LSIDX\0\0\1", 8);
constexpr size_t kHeaderBytes = 32, kTrailerBytes = 4;
constexpr uint64_t kMaxBytes = std::numeric_limits<int64_t>::max();

void AppendU64(uint64_t value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

void RecordIndex::Add(uint64_t length, uint32_t masked_crc) {
  offsets_.push_back(offsets_.back() + kRecordFramingBytes + length);
  content_hash_ = Mix64(Mix64(content_hash_ ^ length) ^ masked_crc);
}

absl::StatusOr<RecordIndex> RecordIndex::Build(const std::string& path, absl::string_view bytes) {
  RecordIndex index;
  while (index.file_size_bytes() < bytes.size()) {
    const uint64_t offset = index.file_size_bytes();
    uint64_t length = 0;
    if (!WholeRecordAt(bytes, offset, &length)) return HeaderError(path, bytes, offset, index.records());
    index.Add(length, LoadU32(bytes.data() + offset + kRecordHeaderBytes + length));
  }
  return index;
}

std::string RecordIndex::Encode() const {
  std::string out(kMagic);
  out.reserve(kHeaderBytes + offsets_.size() * 8 + kTrailerBytes);
  AppendU64(file_size_bytes(), &out);
  AppendU64(static_cast<uint64_t>(records()), &out);
  AppendU64(content_hash_, &out);
  out.append(reinterpret_cast<const char*>(offsets_.data()), offsets_.size() * 8);
  const uint32_t crc = MaskedCrcOf(out.data(), out.size());
  out.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  return out;
}

absl::StatusOr<RecordIndex> RecordIndex::Decode(const std::string& path, absl::string_view contents) {
  if (contents.size() < kHeaderBytes + 8 + kTrailerBytes || contents.substr(0, kMagic.size()) != kMagic) {
    return DataError(
        absl::StrCat(path, " is not an index of this version; `lockstep records index` makes it anew"));
  }
  const absl::string_view body = contents.substr(0, contents.size() - kTrailerBytes);
  const uint32_t stored = LoadU32(contents.data() + body.size()),
                 computed = MaskedCrcOf(body.data(), body.size());
  if (stored != computed) {
    return DataError(
        absl::StrFormat("%s is damaged (checksum stored %08x, computed %08x); `lockstep records index` "
                        "makes it anew",
                        path, stored, computed));
  }
  const uint64_t file_size = LoadU64(body.data() + 8), records = LoadU64(body.data() + 16);
  const absl::Status inconsistent = DataError(absl::StrCat(path, " contradicts itself"));
  if ((body.size() - kHeaderBytes) % 8 != 0 || records != (body.size() - kHeaderBytes) / 8 - 1)
    return inconsistent;
  RecordIndex index;
  index.content_hash_ = LoadU64(body.data() + 24);
  index.offsets_.resize(records + 1);
  std::memcpy(index.offsets_.data(), body.data() + kHeaderBytes, (records + 1) * 8);
  if (index.offsets_.front() != 0 || index.offsets_.back() != file_size || file_size > kMaxBytes)
    return inconsistent;
  for (size_t i = 0; i < records; ++i) {
    const uint64_t begin = index.offsets_[i], end = index.offsets_[i + 1];
    if (end < begin || end - begin < kRecordFramingBytes) return inconsistent;
  }
  return index;
}

bool RecordIndex::Fits(absl::string_view bytes) const {
  if (bytes.size() != file_size_bytes()) return false;
  constexpr int64_t kSamples = 64;
  const int64_t last = records() - 1;
  for (int64_t i = 0; i <= std::min(last, kSamples); ++i) {
    const int64_t record =
        last <= kSamples ? i : static_cast<int64_t>(static_cast<double>(last) * i / kSamples);
    uint64_t length = 0;
    if (!WholeRecordAt(bytes, OffsetOf(record), &length) || length != LengthOf(record)) return false;
  }
  return true;
}

std::string IndexPathOf(absl::string_view record_path) { return absl::StrCat(record_path, ".lsidx"); }

absl::Status WriteIndex(FileSystem* fs, const std::string& record_path, const RecordIndex& index) {
  return WriteFileAtomically(fs, IndexPathOf(record_path), index.Encode());
}

}  // namespace lockstep::data
