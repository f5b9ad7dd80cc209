// What `lockstep records make` does with numpy's arrays.
#ifndef LOCKSTEP_RUNTIME_DATA_MAKE_NPY_H_
#define LOCKSTEP_RUNTIME_DATA_MAKE_NPY_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "runtime/data/make_records.h"

namespace lockstep::data {

// An array as a feature.
struct NpyFeature {
  enum class Kind {
    kAuto,    // u1, and S: a string; other integers and booleans: int64s; floats: floats
    kInts,    // an int64 an element
    kFloats,  // a float an element; float64 is rounded
    kBytes,   // one string: the row's elements as they lie there, little-endian
  };
  std::string feature, array;
  Kind kind = Kind::kAuto;
};
// "NAME", "NAME:TYPE" or "NAME:TYPE=ARRAY" with TYPE int, float or bytes. Error: ConfigError.
absl::StatusOr<NpyFeature> ParseNpyFeature(const std::string& text);

struct NpyOptions {
  std::string input = {};                 // a .npy or .npz file, or a folder of .npy files (npy.h)
  std::vector<NpyFeature> features = {};  // empty: every array, under its own name
  std::optional<uint64_t> shuffle = {};   // the seed of the records' order; else that of the rows
  int64_t test_every = 0;                 // k > 0: records whose number is a multiple of k are the test part
  uint64_t limit_bytes = uint64_t{16} << 30;  // that compressed arrays may take in memory
};
// A record a row: the first dimension of all arrays, which must agree. Goes on where it was broken off (make_streamed.h). Errors: DataError
// naming the array, for what ParseNpy refuses, arrays of different length, or an int64 feature of floats or of integers above 2^63.
absl::Status MakeFromNpy(FileSystem* fs, const NpyOptions& options, const MakeTarget& target,
                         std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_MAKE_NPY_H_
