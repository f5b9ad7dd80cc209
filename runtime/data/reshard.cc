#include "runtime/data/reshard.h"

#include <numeric>
#include <utility>

#include "runtime/data/dataset.h"
#include "runtime/data/make_streamed.h"
#include "runtime/data/order.h"
#include "runtime/data/record_shards.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

absl::Status CheckNoSource(const std::vector<std::string>& sources, const std::string& path) {
  for (const std::string& source : sources) {
    if (source == path)
      return DataError(absl::StrCat(path, " is one of the files that are read; write to another name"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReshardRecords(FileSystem* fs, const std::vector<std::string>& patterns,
                            std::optional<uint64_t> shuffle, const MakeTarget& target, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  for (const std::string& path : paths) {  // whatever shards there will be
    const std::string name = absl::StrCat(target.out, "-");
    if (path.compare(0, name.size(), name) == 0) RETURN_IF_ERROR(CheckNoSource(paths, path));
  }
  MakeJob job;
  job.unit = "records";
  job.identity = absl::StrCat("shard\n", dataset->fingerprint(), "\n",
                              shuffle.has_value() ? absl::StrCat(*shuffle) : "-", "\n");
  job.parts.push_back({"", target.shards, std::vector<int64_t>(static_cast<size_t>(dataset->size()))});
  std::vector<int64_t>& ids = job.parts.back().items;
  std::iota(ids.begin(), ids.end(), int64_t{0});
  const Permutation permutation(shuffle.value_or(0), 0, dataset->size());
  if (shuffle.has_value()) {
    for (int64_t& id : ids) id = permutation(id);
  }
  job.record = [&](int64_t id, const MakeJob::Write& write) -> absl::Status {
    ASSIGN_OR_RETURN(const RecordView record, dataset->Record(id));
    return write(record);
  };
  return MakeStreamed(fs, job, target, out);
}

absl::Status MergeRecords(FileSystem* fs, const std::vector<std::string>& patterns, const std::string& path,
                          Compression compression, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  RETURN_IF_ERROR(CheckNoSource(paths, path));
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(path)));
  ASSIGN_OR_RETURN(const auto writer, RecordWriter::Create(fs, path, {compression, /*write_index=*/true}));
  DatasetPass pass(dataset.get(), 0, dataset->size());
  for (int64_t id = 0; id < dataset->size(); ++id) {
    ASSIGN_OR_RETURN(const RecordView record, pass.Record(id));
    RETURN_IF_ERROR(writer->Write(record));
  }
  RETURN_IF_ERROR(writer->Close());
  out << path << ": " << writer->records() << " records, " << writer->stored_bytes() << " bytes\n";
  return absl::OkStatus();
}

}  // namespace lockstep::data
