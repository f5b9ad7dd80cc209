// Arrays that numpy saved: .npy files, and .npz archives of them.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef LOCKSTEP_RUNTIME_DATA_NPY_H_
#define LOCKSTEP_RUNTIME_DATA_NPY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// A view of an array; rows are its first dimension.
struct NpyArray {
  char kind = 0;           // 'b' bool, 'i', 'u', 'f' numbers, 'S' bytes padded with zeros
  int64_t item_bytes = 0;  // 1, 2, 4 or 8 of numbers
  std::vector<int64_t> shape;
  absl::string_view elements;  // in C order, little-endian

  int64_t rows() const { return shape.front(); }
  int64_t row_elements() const;
  absl::string_view Row(int64_t row) const;
};

// Versions 1 to 3 of the format, of as many dimensions as there are at least rows in. Error: DataError naming `name` and what is
// wrong or not understood: objects (which are pickles), structures, big-endian numbers, complex numbers, Unicode strings, Fortran
// order, no dimension, or another number of bytes than the header claims.
absl::StatusOr<NpyArray> ParseNpy(const std::string& name, absl::string_view bytes);

// Named arrays and the memory that they lie in. Movable.
class NpyArrays {
 public:
  // A .npy file, which is one array named as the file is; a .npz archive; or a folder of .npy files. What is not compressed is
  // looked at where it is mapped; the rest is decompressed, up to `limit_bytes` together. Error: DataError as ParseNpy, or for an archive that is
  // damaged (every member's CRC-32 is compared), encrypted or split.
  static absl::StatusOr<NpyArrays> Open(FileSystem* fs, const std::string& path, uint64_t limit_bytes);

  struct Named {
    std::string name;
    NpyArray array;
  };
  const std::vector<Named>& arrays() const { return arrays_; }  // by name

 private:
  absl::Status AddFile(FileSystem* fs, const std::string& path, uint64_t* limit_bytes);
  absl::Status AddArchive(const std::string& path, absl::string_view bytes, uint64_t* limit_bytes);
  absl::Status Add(const std::string& name, const std::string& shown, absl::string_view bytes);

  std::vector<std::shared_ptr<const void>> held_;
  std::vector<Named> arrays_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_NPY_H_
