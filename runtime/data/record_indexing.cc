// `lockstep records index`.
#include <algorithm>
#include <functional>
#include <utility>

#include "runtime/core/thread.h"
#include "runtime/data/dali_index.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_sidecar.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/run_on_threads.h"

namespace lockstep::data {
namespace {

absl::StatusOr<RecordIndex> Import(FileSystem* fs, const std::string& path, const RecordBytes& bytes) {
  const std::string dali_path = DaliIndexPathOf(path);
  auto text = ReadWholeFile(fs, dali_path);
  if (!text.ok()) return DataError(text.status().message());
  return DecodeDaliIndex(dali_path, *text, path, bytes.view());
}

// A line of what was done.
absl::StatusOr<std::string> IndexOne(FileSystem* fs, const std::string& path, IndexWork work) {
  ASSIGN_OR_RETURN(const RecordBytes bytes, RecordBytes::Open(fs, path));
  if (work != IndexWork::kBuild && bytes.stored().compression != Compression::kNone) {
    return DataError(absl::StrCat(path, " is ", NameOf(bytes.stored().compression),
                                  ": DALI reads no compressed record files, so its index cannot be of one"));
  }
  absl::StatusOr<RecordIndex> index =
      work == IndexWork::kImportDali ? Import(fs, path, bytes) : RecordIndex::Build(path, bytes.view());
  if (!index.ok()) return bytes.Explain(path, index.status());
  const std::string made = work == IndexWork::kExportDali ? DaliIndexPathOf(path) : IndexPathOf(path);
  const std::string line = absl::StrCat(made, ": ", index->records(), " records\n");
  if (work == IndexWork::kExportDali) {
    RETURN_IF_ERROR(WriteFileAtomically(fs, made, EncodeDaliIndex(*index)));
  } else {
    RETURN_IF_ERROR(WriteSidecar(fs, path, bytes.stored(), *std::move(index)));
  }
  return line;
}

}  // namespace

absl::Status IndexRecords(FileSystem* fs, const std::vector<std::string>& patterns, IndexWork work,
                          std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  std::vector<std::string> lines(paths.size());
  const absl::Status status =
      RunOnThreads(AvailableCores(), static_cast<int64_t>(paths.size()), [&](int64_t i) {
        ASSIGN_OR_RETURN(lines[static_cast<size_t>(i)], IndexOne(fs, paths[static_cast<size_t>(i)], work));
        return absl::OkStatus();
      });
  for (const std::string& line : lines) out << line;
  return status;
}

}  // namespace lockstep::data
