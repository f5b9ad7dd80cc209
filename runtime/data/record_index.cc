#include "runtime/data/record_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/core/rng.h"
#include "runtime/data/record_errors.h"

namespace lockstep::data {
namespace {

constexpr absl::string_view kMagic("LSIDX\0\0\2", 8);
constexpr size_t kHeaderBytes = 72, kTrailerBytes = 4;
constexpr uint64_t kMostBytes = uint64_t{1} << 56;  // of a stream: sums of a few offsets never overflow

template <typename T>
void AppendNumber(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

uint64_t WidthFor(uint64_t most) {
  if (most == 0) return 0;
  return most <= 0xff ? 1 : most <= 0xffff ? 2 : most <= 0xffffffffu ? 4 : 8;
}

uint64_t MaskOf(uint64_t width) { return width == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * width)) - 1; }

}  // namespace

void RecordIndexBuilder::Add(uint64_t length, uint32_t masked_crc) {
  if (offsets_.size() % RecordIndex::kGroup == 1) first_crcs_.push_back(masked_crc);
  smallest_ = std::min(smallest_, kRecordFramingBytes + length);
  offsets_.push_back(offsets_.back() + kRecordFramingBytes + length);
  content_hash_ = Mix64(Mix64(content_hash_ ^ length) ^ masked_crc);
}

RecordIndex RecordIndexBuilder::Finish() const {
  RecordIndex index;
  index.records_ = records();
  index.size_bytes_ = size_bytes();
  index.content_hash_ = content_hash_;
  index.step_ = records() == 0 ? 0 : smallest_;
  index.bases_.clear();
  uint64_t most = 0;
  for (size_t i = 0; i < offsets_.size(); ++i) {
    const size_t in_group = i % RecordIndex::kGroup;
    if (in_group == 0) index.bases_.push_back(offsets_[i]);
    most = std::max(most, offsets_[i] - index.bases_.back() - in_group * index.step_);
  }
  index.width_ = WidthFor(most);
  index.mask_ = MaskOf(index.width_);
  index.first_crcs_ = first_crcs_;
  index.first_crcs_.resize(index.bases_.size());
  index.rests_.assign(offsets_.size() * index.width_ + RecordIndex::kPaddingBytes, '\0');
  for (size_t i = 0; i < offsets_.size(); ++i) {
    const size_t group = i / RecordIndex::kGroup, in_group = i % RecordIndex::kGroup;
    const uint64_t rest = offsets_[i] - index.bases_[group] - in_group * index.step_;
    std::memcpy(index.rests_.data() + i * index.width_, &rest, index.width_);
  }
  return index;
}

RecordIndex::RecordIndex() : bases_(1), first_crcs_(1), rests_(kPaddingBytes, '\0') {}

absl::StatusOr<RecordIndex> RecordIndex::Build(const std::string& path, absl::string_view bytes) {
  RecordIndexBuilder builder;
  while (builder.size_bytes() < bytes.size()) {
    const uint64_t offset = builder.size_bytes();
    uint64_t length = 0;
    if (!WholeRecordAt(bytes, offset, &length)) return HeaderError(path, bytes, offset, builder.records());
    builder.Add(length, LoadU32(bytes.data() + offset + kRecordHeaderBytes + length));
  }
  return builder.Finish();
}

std::string RecordIndex::Encode() const {
  const size_t rests_bytes = rests_.size() - kPaddingBytes;
  std::string out(kMagic);
  out.reserve(kHeaderBytes + bases_.size() * 12 + rests_bytes + kTrailerBytes);
  AppendNumber<uint64_t>(stored_.size_bytes, &out);
  AppendNumber<int64_t>(stored_.modified_ns, &out);
  AppendNumber<uint32_t>(static_cast<uint32_t>(stored_.compression), &out);
  AppendNumber<uint32_t>(stored_.crc, &out);
  for (const uint64_t value : {size_bytes_, static_cast<uint64_t>(records_), content_hash_, step_, width_})
    AppendNumber<uint64_t>(value, &out);
  out.append(reinterpret_cast<const char*>(bases_.data()), bases_.size() * 8);
  out.append(reinterpret_cast<const char*>(first_crcs_.data()), first_crcs_.size() * 4);
  out.append(rests_, 0, rests_bytes);
  AppendNumber<uint32_t>(MaskedCrcOf(out.data(), out.size()), &out);
  return out;
}

absl::StatusOr<RecordIndex> RecordIndex::Decode(const std::string& path, absl::string_view contents) {
  if (contents.size() < kHeaderBytes + kTrailerBytes || contents.substr(0, kMagic.size()) != kMagic) {
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
  // A right checksum proves no good will: every number is checked before it is used.
  const absl::Status inconsistent =
      DataError(absl::StrCat(path, " contradicts itself; `lockstep records index` makes it anew"));
  const auto number = [&](size_t at) { return LoadU64(body.data() + at); };
  const uint32_t compression = LoadU32(body.data() + 24);
  const uint64_t size = number(32), records = number(40), step = number(56), width = number(64);
  const uint64_t room = body.size() - kHeaderBytes;  // bounds every count before it is multiplied
  if (compression >= kCompressions || size > kMostBytes || records > size / kRecordFramingBytes ||
      step > size || (width != 0 && width != 1 && width != 2 && width != 4 && width != 8))
    return inconsistent;
  const uint64_t groups = records / kGroup + 1;
  if (groups > room / 12 || (width > 0 && records >= room / width)) return inconsistent;
  if (room != groups * 12 + (records + 1) * width) return inconsistent;
  RecordIndex index;
  index.stored_ = {number(8), static_cast<int64_t>(number(16)), static_cast<Compression>(compression),
                   LoadU32(body.data() + 28)};
  index.records_ = static_cast<int64_t>(records);
  index.size_bytes_ = size;
  index.content_hash_ = number(48);
  index.step_ = step;
  index.width_ = width;
  index.mask_ = MaskOf(width);
  const char* at = body.data() + kHeaderBytes;
  index.bases_.resize(groups);
  std::memcpy(index.bases_.data(), at, groups * 8);
  index.first_crcs_.resize(groups);
  std::memcpy(index.first_crcs_.data(), at + groups * 8, groups * 4);
  index.rests_.assign(at + groups * 12, (records + 1) * width);
  index.rests_.append(kPaddingBytes, '\0');
  uint64_t before = 0;
  for (uint64_t i = 0; i <= records; ++i) {
    if (index.bases_[i / kGroup] > size || (LoadU64(index.rests_.data() + i * width) & index.mask_) > size)
      return inconsistent;
    const uint64_t offset = index.OffsetOf(static_cast<int64_t>(i));
    if (i == 0 ? offset != 0 : offset < before + kRecordFramingBytes) return inconsistent;
    before = offset;
  }
  if (before != size) return inconsistent;
  return index;
}

bool RecordIndex::Fits(absl::string_view bytes, int64_t records) const {
  if (records < 0 || records > records_ || bytes.size() != OffsetOf(records)) return false;
  constexpr int64_t kSamples = 64;
  const int64_t last = records - 1;
  for (int64_t i = 0; i <= std::min(last, kSamples); ++i) {
    int64_t record = last <= kSamples ? i : static_cast<int64_t>(static_cast<double>(last) * i / kSamples);
    // Where there are many, those whose payload's checksum the index knows.
    if (last > kSamples && i < kSamples) record -= record % static_cast<int64_t>(kGroup);
    uint64_t length = 0;
    if (!WholeRecordAt(bytes, OffsetOf(record), &length) || length != LengthOf(record)) return false;
    const char* trailer = bytes.data() + OffsetOf(record) + kRecordHeaderBytes + length;
    if (record % static_cast<int64_t>(kGroup) == 0 &&
        LoadU32(trailer) != first_crcs_[static_cast<uint64_t>(record) / kGroup])
      return false;
  }
  return true;
}

std::string IndexPathOf(absl::string_view record_path) { return absl::StrCat(record_path, ".lsidx"); }

absl::Status WriteIndex(FileSystem* fs, const std::string& record_path, const RecordIndex& index) {
  return WriteFileAtomically(fs, IndexPathOf(record_path), index.Encode());
}

}  // namespace lockstep::data
