// Records in memory to the files that a MakeTarget asks for. Shared by what makes records.
#ifndef LOCKSTEP_RUNTIME_DATA_MAKE_PARTS_H_
#define LOCKSTEP_RUNTIME_DATA_MAKE_PARTS_H_

#include <ostream>
#include <string>
#include <vector>

#include "runtime/data/make_records.h"

namespace lockstep::records {
class Example;  // proto/example.pb.h
}

namespace lockstep::data {

// The file's contents, decompressed where it is gzip; up to 4 GiB.
absl::StatusOr<std::string> ReadMakeInput(FileSystem* fs, const std::string& path);

// Maps in the order of their keys: the same bytes every time.
std::string SerializeExample(const records::Example& example);

// Writes the training part, and where `held_out` the test part.
absl::Status WriteParts(FileSystem* fs, const MakeTarget& target, bool held_out,
                        const std::vector<std::string>& train, const std::vector<std::string>& test,
                        std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_MAKE_PARTS_H_
