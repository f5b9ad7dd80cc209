#include "runtime/train/safetensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/core/hash.h"
#include "runtime/train/json_line.h"
#include "runtime/train/safetensors_header.h"

namespace lockstep::train {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kChunkBytes = size_t{4} << 20;  // checksummed and written while it is in the cache

// Indices of `tensors` in the order of the file: aligned types first.
std::vector<size_t> FileOrder(absl::Span<const NamedTensor> tensors) {
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const size_t size_a = SizeOf(tensors[a].dtype), size_b = SizeOf(tensors[b].dtype);
    return size_a != size_b ? size_a > size_b : tensors[a].name < tensors[b].name;
  });
  return order;
}

std::string HeaderText(absl::Span<const NamedTensor> tensors, const std::vector<size_t>& order,
                       const SafetensorsMetadata& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    JsonLine object;
    for (const auto& [name, value] : metadata) object.String(name, value);
    absl::StrAppend(&json, "\"__metadata__\": ", object.Text());
  }
  uint64_t offset = 0;
  for (const size_t index : order) {
    const NamedTensor& tensor = tensors[index];
    const int64_t begin = static_cast<int64_t>(offset);
    offset += tensor.size_bytes();
    JsonLine object;
    object.String("dtype", NameOf(tensor.dtype)).Integers("shape", tensor.shape.dims());
    object.Integers("data_offsets", {begin, static_cast<int64_t>(offset)});
    absl::StrAppend(&json, json.size() > 1 ? ", " : "", JsonString(tensor.name), ": ", object.Text());
  }
  json += "}";
  json.resize(RoundUp(kLengthBytes + json.size(), 8) - kLengthBytes, ' ');
  return json;
}

uint64_t ReadU64(const char* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string U64Bytes(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

// Every byte of the data belongs to exactly one tensor. `entries` are sorted by offset.
absl::Status CheckCoverage(const std::vector<SafetensorsEntry>& entries, uint64_t data_bytes) {
  uint64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.end < entry.begin || entry.end > data_bytes) {
      return DataError(absl::StrCat("tensor '", entry.name, "' has data_offsets [", entry.begin, ", ",
                                    entry.end, "] in ", data_bytes, " bytes of data"));
    }
    if (entry.begin != at) {
      return DataError(
          absl::StrCat("tensor '", entry.name, "' begins at byte ", entry.begin, " of the data, but ",
                       entry.begin < at ? "the tensor before it reaches to " : "nothing lies between ", at,
                       entry.begin < at ? "" : " and it"));
    }
    at = entry.end;
  }
  if (at == data_bytes) return absl::OkStatus();
  return DataError(
      absl::StrCat("the tensors end at byte ", at, " of the data, which has ", data_bytes, " bytes"));
}

// Adds `entry` to the view: as a tensor, or by name only where its type is none of ours.
absl::Status AddEntry(const SafetensorsEntry& entry, const char* data, SafetensorsView* view) {
  const auto dtype = DTypeFromName(entry.dtype);
  const bool fits_rank = entry.shape.size() <= static_cast<size_t>(Shape::kMaxRank);
  if (!dtype.ok() || !fits_rank) {
    view->unreadable.push_back({entry.name, entry.dtype});
    return absl::OkStatus();
  }
  auto shape = Shape::FromDims(entry.shape);
  if (!shape.ok()) return DataError(absl::StrCat("tensor '", entry.name, "': ", shape.status().message()));
  const uint64_t elements = static_cast<uint64_t>(shape->NumElements());
  const uint64_t size_bytes = entry.end - entry.begin;
  if (size_bytes % SizeOf(*dtype) != 0 || size_bytes / SizeOf(*dtype) != elements) {
    return DataError(absl::StrCat("tensor '", entry.name, "' is ", entry.dtype, " ", shape->ToString(),
                                  " but has ", size_bytes, " bytes"));
  }
  view->tensors.push_back({entry.name, *dtype, *shape, data + entry.begin});
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsView> Parse(absl::string_view bytes) {
  if (bytes.size() < kLengthBytes) return DataError(absl::StrCat("only ", bytes.size(), " bytes long"));
  const uint64_t json_bytes = ReadU64(bytes.data());
  if (json_bytes > kMaxSafetensorsHeaderBytes || json_bytes > bytes.size() - kLengthBytes) {
    return DataError(absl::StrCat("claims a header of ", json_bytes, " bytes in a file of ", bytes.size(),
                                  " bytes (the limit is ", kMaxSafetensorsHeaderBytes, ")"));
  }
  ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(bytes.substr(kLengthBytes, json_bytes)));
  // Tensors without elements share their offset with the next one.
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  SafetensorsView view;
  view.header_bytes = kLengthBytes + json_bytes;
  RETURN_IF_ERROR(CheckCoverage(header.entries, bytes.size() - view.header_bytes));
  for (const SafetensorsEntry& entry : header.entries) {
    RETURN_IF_ERROR(AddEntry(entry, bytes.data() + view.header_bytes, &view));
  }
  view.metadata = std::move(header.metadata);
  return view;
}

}  // namespace

absl::StatusOr<SafetensorsDigest> WriteSafetensors(WritableFile* file, absl::Span<const NamedTensor> tensors,
                                                   const SafetensorsMetadata& metadata) {
  RETURN_IF_ERROR(CheckUniqueNames(tensors));
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name == "__metadata__")
      return absl::InvalidArgumentError("no tensor may be named __metadata__");
  }
  const std::vector<size_t> order = FileOrder(tensors);
  const std::string json = HeaderText(tensors, order, metadata);
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError("more tensors than a safetensors header can list");
  }
  const std::string header = U64Bytes(json.size()) + json;
  RETURN_IF_ERROR(file->Append(header));
  SafetensorsDigest digest;
  digest.size_bytes = header.size();
  digest.header_crc32c = Crc32c(0, header.data(), header.size());
  digest.crc32c.resize(tensors.size());
  for (const size_t index : order) {
    absl::string_view rest(static_cast<const char*>(tensors[index].data), tensors[index].size_bytes());
    digest.size_bytes += rest.size();
    while (!rest.empty()) {
      const absl::string_view chunk = rest.substr(0, kChunkBytes);
      digest.crc32c[index] = Crc32c(digest.crc32c[index], chunk.data(), chunk.size());
      RETURN_IF_ERROR(file->Append(chunk));
      rest.remove_prefix(chunk.size());
    }
  }
  return digest;
}

absl::StatusOr<SafetensorsView> ParseSafetensors(absl::string_view bytes, absl::string_view where) {
  auto view = Parse(bytes);
  if (!view.ok()) return Annotate(view.status(), absl::StrCat(where, ": not a valid safetensors file"));
  return view;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(FileSystem* fs, const std::string& path,
                                                      Access access) {
  SafetensorsFile result;
  ASSIGN_OR_RETURN(result.file_, fs->Open(path));
  if (access == Access::kMapped) result.bytes_ = result.file_->Mapped();
  if (result.bytes_.empty()) {
    // The size is the file system's word, not the file's.
    result.memory_ = AlignedBytes(result.file_->size_bytes());
    RETURN_IF_ERROR(result.file_->ReadAt(0, result.memory_.data(), result.memory_.size_bytes()));
    result.bytes_ = {reinterpret_cast<const char*>(result.memory_.data()), result.memory_.size_bytes()};
    result.file_.reset();
  }
  ASSIGN_OR_RETURN(result.view_, ParseSafetensors(result.bytes_, path));
  return result;
}

const NamedTensor* SafetensorsFile::Find(absl::string_view name) const {
  for (const NamedTensor& tensor : view_.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

}  // namespace lockstep::train
