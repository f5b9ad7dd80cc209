// Whether the index file beside a record file is that of the file as it is now.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_SIDECAR_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_SIDECAR_H_

#include <optional>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_index.h"

namespace lockstep::data {

// The index of `path`, of which `bytes` are the contents, when there is one that fits. Nothing is returned
// where there is none, it cannot be read or is damaged, or it is stale: another size, another time of change,
// or records that do not lie where it says (RecordIndex::Fits). A stale index is no error, because hopping
// through the file tells the same.
// Error: DataError where the index proves damage that nothing else would show: a file that ends after a whole
// record, but before its last, and a compressed file changed in bits that decompress to the same.
absl::StatusOr<std::optional<RecordIndex>> ReadSidecar(FileSystem* fs, const std::string& path,
                                                       const RecordBytes& bytes);

// Why `index` does not fit, or OK: for `lockstep records verify`, which believes nothing and compares all.
absl::Status CompareWithSidecar(FileSystem* fs, const std::string& path, const RecordBytes& bytes);

// Writes the index of `path` beside it, naming the file by its size, time of change and checksum.
absl::Status WriteSidecar(FileSystem* fs, const std::string& path, const StoredFile& stored,
                          RecordIndex index);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_SIDECAR_H_
