// What `lockstep records make --from images` does: record files from folders of pictures.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_MAKE_IMAGE_RECORDS_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_MAKE_IMAGE_RECORDS_H_

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/make_records.h"

namespace lockstep::data {

struct FolderOptions {
  std::string input = {};                // a folder; each folder in it is a class, and holds its pictures
  std::optional<uint64_t> shuffle = {};  // the seed of the records' order; else by class, then by name
  int64_t test_every = 0;                // k > 0: records whose number is a multiple of k are the test part
};

// A record for each JPEG and PNG file (by the endings .jpg, .jpeg and .png, in either case), stored as it is:
//   image/encoded      bytes   the file
//   image/class/label  int64   the class's number, 0 for the first in the order of the folders' names
//   image/class/text   bytes   the class's folder
//   image/filename     bytes   folder/file
// Also writes OUT-classes.txt, a class a line in the order of their numbers. One picture is in memory at a
// time. The same folder and options give the same bytes. Names that begin with '.' and other files are passed
// over; how many is said. Every picture's header is read. Errors: DataError naming a file that is no picture,
// a class without pictures, or a folder without classes.
absl::Status MakeFromFolders(FileSystem* fs, const FolderOptions& options, const MakeTarget& target,
                             std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_MAKE_IMAGE_RECORDS_H_
