#include "runtime/data/zip.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/data/growing_memory.h"

namespace lockstep::data {
namespace {

constexpr size_t kEndBytes = 22, kEntryBytes = 46, kLocalBytes = 30, kMostCommentBytes = 65535;
constexpr uint32_t kIn64 = 0xffffffff;  // the number stands in the ZIP64 field

uint16_t U16(absl::string_view bytes, size_t at) {
  uint16_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
uint32_t U32(absl::string_view bytes, size_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
uint64_t U64(absl::string_view bytes, size_t at) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return DataError(absl::StrCat(path, ": the ZIP archive is damaged or not understood: ", what));
}

struct Directory {
  uint64_t entries = 0, size_bytes = 0, offset = 0;
};

absl::StatusOr<Directory> FindDirectory(const std::string& path, absl::string_view archive) {
  if (archive.size() < kEndBytes) return Damaged(path, "it is too short");
  const size_t last = archive.size() - kEndBytes;
  const size_t first = last > kMostCommentBytes ? last - kMostCommentBytes : 0;
  size_t end = last;
  while (archive.substr(end, 4) != "PK\x05\x06") {
    if (end == first) return Damaged(path, "there is no directory at its end; is it cut short?");
    --end;
  }
  Directory directory{U16(archive, end + 10), U32(archive, end + 12), U32(archive, end + 16)};
  const bool split = U16(archive, end + 4) != U16(archive, end + 6);
  if (end >= 20 && archive.substr(end - 20, 4) == "PK\x06\x07") {  // ZIP64 says where its own end record is
    const uint64_t end64 = U64(archive, end - 20 + 8);
    if (end64 > archive.size() || archive.size() - end64 < 56 || archive.substr(end64, 4) != "PK\x06\x06")
      return Damaged(path, "its ZIP64 directory is not where it should be");
    directory = {U64(archive, end64 + 32), U64(archive, end64 + 40), U64(archive, end64 + 48)};
  } else if (split) {
    return Damaged(path, "it is split over several files");
  }
  if (directory.offset > archive.size() || directory.size_bytes > archive.size() - directory.offset ||
      directory.entries > directory.size_bytes / kEntryBytes)
    return Damaged(path, "its directory lies outside of it");
  return directory;
}

// Replaces what stands in the ZIP64 field of `extra`, in its order.
bool TakeZip64(absl::string_view extra, ZipMember* member, uint64_t* offset) {
  while (extra.size() >= 4) {
    const uint16_t id = U16(extra, 0), size = U16(extra, 2);
    if (size > extra.size() - 4) return false;
    absl::string_view field = extra.substr(4, size);
    extra.remove_prefix(4 + size_t{size});
    if (id != 1) continue;
    for (uint64_t* number : {&member->size_bytes, &member->stored_bytes, offset}) {
      if (*number != kIn64) continue;
      if (field.size() < 8) return false;
      *number = U64(field, 0);
      field.remove_prefix(8);
    }
    return true;
  }
  return member->size_bytes != kIn64 && member->stored_bytes != kIn64 && *offset != kIn64;
}

absl::Status Inflate(absl::string_view stored, GrowingMemory* out) {
  const auto state = std::make_unique<inflate_state>();
  isal_inflate_init(state.get());
  size_t at = 0;
  while (state->block_state != ISAL_BLOCK_FINISH) {
    ASSIGN_OR_RETURN(const absl::Span<char> room, out->Room());
    const size_t offered = std::min(stored.size() - at, size_t{1} << 30);
    state->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(stored.data() + at));
    state->avail_in = static_cast<uint32_t>(offered);
    state->next_out = reinterpret_cast<uint8_t*>(room.data());
    state->avail_out = static_cast<uint32_t>(std::min(room.size(), size_t{1} << 30));
    const size_t asked = state->avail_out;
    const int result = isal_inflate(state.get());
    const size_t made = asked - state->avail_out, used = offered - state->avail_in;
    at += used;
    out->Add(made);
    const bool stuck = made == 0 && used == 0 && state->block_state != ISAL_BLOCK_FINISH;
    if (result != ISAL_DECOMP_OK || stuck) return DataError("the compressed data are damaged or cut short");
  }
  return absl::OkStatus();
}

uint32_t Crc32Of(absl::string_view bytes) {
  return crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace

absl::StatusOr<std::vector<ZipMember>> ListZip(const std::string& path, absl::string_view archive) {
  ASSIGN_OR_RETURN(const Directory directory, FindDirectory(path, archive));
  absl::string_view rest = archive.substr(directory.offset, directory.size_bytes);
  std::vector<ZipMember> members;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (rest.size() < kEntryBytes || rest.substr(0, 4) != "PK\x01\x02")
      return Damaged(path, "an entry of its directory is none");
    const uint16_t flags = U16(rest, 8), method = U16(rest, 10);
    const size_t name = U16(rest, 28), extra = U16(rest, 30), comment = U16(rest, 32);
    if (rest.size() - kEntryBytes < name + extra + comment)
      return Damaged(path, "its directory is cut short");
    ZipMember member;
    member.name = std::string(rest.substr(kEntryBytes, name));
    member.deflated = method == 8;
    member.crc = U32(rest, 16);
    member.stored_bytes = U32(rest, 20);
    member.size_bytes = U32(rest, 24);
    uint64_t offset = U32(rest, 42);
    if (!TakeZip64(rest.substr(kEntryBytes + name, extra), &member, &offset))
      return Damaged(path, "a ZIP64 field is cut short");
    member.header_offset = offset;
    if ((flags & 1) != 0) return DataError(absl::StrCat(path, ", ", member.name, " is encrypted"));
    if (method != 0 && method != 8)
      return DataError(absl::StrCat(path, ", ", member.name, " is compressed by method ", method,
                                    ", which is not understood"));
    if (member.name.empty() || member.name.back() != '/') members.push_back(std::move(member));
    rest.remove_prefix(kEntryBytes + name + extra + comment);
  }
  return members;
}

absl::StatusOr<UnzippedMember> Unzip(const std::string& path, absl::string_view archive,
                                     const ZipMember& member, uint64_t limit_bytes) {
  const std::string shown = absl::StrCat(path, ", ", member.name);
  const uint64_t at = member.header_offset;
  if (at > archive.size() || archive.size() - at < kLocalBytes || archive.substr(at, 4) != "PK\x03\x04")
    return Damaged(shown, "its header is not where it should be");
  const uint64_t begin = at + kLocalBytes + U16(archive, at + 26) + U16(archive, at + 28);
  if (begin > archive.size() || member.stored_bytes > archive.size() - begin)
    return Damaged(shown, "it lies outside of the archive");
  UnzippedMember unzipped;
  unzipped.bytes = archive.substr(begin, member.stored_bytes);
  if (member.deflated) {
    auto memory = std::make_shared<GrowingMemory>(std::make_shared<MemoryBudget>(limit_bytes));
    const absl::Status inflated = Inflate(unzipped.bytes, memory.get());
    if (!inflated.ok()) return Annotate(DataError(inflated.message()), shown);
    memory->Trim();
    unzipped.bytes = memory->view();
    unzipped.held = std::move(memory);
  }
  if (unzipped.bytes.size() != member.size_bytes || Crc32Of(unzipped.bytes) != member.crc)
    return Damaged(shown, "size or CRC-32 are others than its directory says");
  return unzipped;
}

}  // namespace lockstep::data
