// safetensors files (github.com/huggingface/safetensors, "Format"): u64 header length N, little-endian; N
// bytes of JSON that starts with '{' and may end in spaces; then the tensors' bytes, little-endian and
// row-major, which cover the rest of the file without overlap or hole. JSON: name -> {"dtype", "shape",
// "data_offsets": [begin, end]}, offsets counted from the end of the header, and "__metadata__" -> {string:
// string}.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_H_
#define LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/file_system.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // the format's own limit

using SafetensorsMetadata = std::map<std::string, std::string>;

// What was written, so that a reader can check every byte of the file.
struct SafetensorsDigest {
  uint64_t size_bytes = 0;       // of the file
  uint32_t header_crc32c = 0;    // of the length and the JSON with its padding
  std::vector<uint32_t> crc32c;  // of each tensor's bytes, in the order of the argument `tensors`
};

// Appends a whole safetensors file to `file`, which must be empty; neither syncs nor closes it. Tensors are
// laid out by falling element size, then name, and the header is padded to 8 bytes, so that every tensor is
// aligned. Error: InvalidArgument for names that occur twice or are "__metadata__"; else the file's.
absl::StatusOr<SafetensorsDigest> WriteSafetensors(WritableFile* file, absl::Span<const NamedTensor> tensors,
                                                   const SafetensorsMetadata& metadata);

// A parsed header over bytes that somebody else owns.
struct SafetensorsView {
  struct Unreadable {
    std::string name, dtype;
  };
  std::vector<NamedTensor> tensors;  // by offset; `data` points into the bytes and may be unaligned
  std::vector<Unreadable>
      unreadable;  // valid tensors of a dtype or rank that Lockstep has none for; left out above
  SafetensorsMetadata metadata;
  uint64_t header_bytes = 0;  // where the data begins
};

// Parses `bytes`, a whole file that is trusted in nothing; allocates in proportion to the header at most.
// `where` begins every message. Error: DataError naming the tensor and the byte.
absl::StatusOr<SafetensorsView> ParseSafetensors(absl::string_view bytes, absl::string_view where);

// An open file, and its tensors while it lives. Movable.
class SafetensorsFile {
 public:
  // kMapped: views of the page cache; nothing is copied, and a disk error or a file cut by another process
  // while it is read ends the process, as for any mapping. kRead: the file is read into memory; such faults
  // are Status values.
  enum class Access { kMapped, kRead };
  static absl::StatusOr<SafetensorsFile> Open(FileSystem* fs, const std::string& path, Access access);

  const SafetensorsView& view() const { return view_; }
  absl::string_view bytes() const { return bytes_; }
  const NamedTensor* Find(absl::string_view name) const;  // null where there is none

 private:
  std::unique_ptr<ReadableFile> file_;
  AlignedBytes memory_;
  absl::string_view bytes_;
  SafetensorsView view_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_H_
