#include "runtime/data/record_sidecar.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/data/remote/url.h"

namespace lockstep::data {
namespace {

// How many records of `index` end by `size_bytes`.
int64_t RecordsBefore(const RecordIndex& index, uint64_t size_bytes) {
  int64_t low = 0, high = index.records();
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (index.OffsetOf(middle) <= size_bytes)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// The file ends exactly between two records of the index, and begins as it says.
absl::Status CheckNotCut(const std::string& path, const RecordIndex& index, absl::string_view bytes) {
  if (bytes.empty() || bytes.size() >= index.size_bytes()) return absl::OkStatus();
  const int64_t kept = RecordsBefore(index, bytes.size());
  if (kept == 0 || !index.Fits(bytes, kept)) return absl::OkStatus();
  return DataError(
      absl::StrFormat("%s is cut short: it ends after record %d at byte %u, and its index %s says that it "
                      "has %d records in %u bytes; if it is meant to be shorter, run `lockstep records "
                      "index` on it",
                      path, kept - 1, bytes.size(), IndexPathOf(path), index.records(), index.size_bytes()));
}

bool SameTime(const StoredFile& a, const StoredFile& b) {
  return a.modified_ns == 0 || b.modified_ns == 0 || a.modified_ns == b.modified_ns;
}

absl::StatusOr<RecordIndex> Load(FileSystem* fs, const std::string& index_path) {
  ASSIGN_OR_RETURN(const auto file, fs->Open(index_path));
  std::string contents(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, contents.data(), contents.size()));
  return RecordIndex::Decode(index_path, contents);
}

absl::Status ChangedInPlace(const std::string& path, const StoredFile& now, const StoredFile& then) {
  return DataError(absl::StrFormat(
      "%s is damaged in bits that its %s stream does not guard (all %u bytes have the CRC-32C "
      "%08x, and its index %s says %08x); if the file was made anew, run `lockstep records "
      "index` on it",
      path, NameOf(now.compression), now.size_bytes, now.crc, IndexPathOf(path), then.crc));
}

}  // namespace

absl::StatusOr<std::optional<RecordIndex>> ReadSidecar(FileSystem* fs, const std::string& path,
                                                       const RecordBytes& bytes) {
  std::optional<RecordIndex> none;
  const std::string index_path = IndexPathOf(path);
  if (!IsRemote(path) && !fs->Exists(index_path)) return none;  // of a server, opening is what asks
  absl::StatusOr<RecordIndex> index = Load(fs, index_path);
  if (absl::IsUnavailable(index.status()) && IsRemote(path)) return index.status();
  if (!index.ok()) return none;
  RETURN_IF_ERROR(CheckNotCut(path, *index, bytes.view()));
  const StoredFile &now = bytes.stored(), &then = index->stored();
  if (now.size_bytes != then.size_bytes || now.compression != then.compression || !SameTime(now, then))
    return none;
  if (bytes.in_memory()) {
    if (!index->Fits(bytes.view(), index->records())) return none;
  } else {
    ASSIGN_OR_RETURN(const bool fits, index->Fits(*bytes.file()));
    if (!fits) return none;
  }
  if (now.crc != then.crc) return ChangedInPlace(path, now, then);
  return std::optional<RecordIndex>(*std::move(index));
}

absl::Status CompareWithSidecar(FileSystem* fs, const std::string& path, const RecordBytes& bytes) {
  const std::string index_path = IndexPathOf(path);
  if (!fs->Exists(index_path)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const RecordIndex index, Load(fs, index_path));
  RETURN_IF_ERROR(CheckNotCut(path, index, bytes.view()));
  const auto built = RecordIndex::Build(path, bytes.view());
  if (!built.ok()) return absl::OkStatus();  // damage of the file itself is told elsewhere
  const StoredFile &now = bytes.stored(), &then = index.stored();
  if (!(*built == index) || now.size_bytes != then.size_bytes || now.compression != then.compression) {
    return DataError(
        absl::StrCat(index_path, " is not the index of ", path, "; `lockstep records index` makes it anew"));
  }
  return now.crc == then.crc ? absl::OkStatus() : ChangedInPlace(path, now, then);
}

absl::Status WriteSidecar(FileSystem* fs, const std::string& path, const StoredFile& stored,
                          RecordIndex index) {
  index.set_stored(stored);
  return WriteIndex(fs, path, index);
}

}  // namespace lockstep::data
