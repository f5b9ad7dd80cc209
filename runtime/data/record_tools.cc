#include "runtime/data/record_tools.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/json_util.h"
#include "proto/example.pb.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_match.h"
#include "runtime/data/record_sidecar.h"
#include "runtime/data/remote/url.h"

namespace lockstep::data {
namespace {

// "image bytes[64], label int64[1]"; or why not.
std::string FeaturesOf(absl::string_view record) {
  records::Example example;
  if (!example.ParseFromArray(record.data(), static_cast<int>(record.size()))) return "(no tf.train.Example)";
  std::map<std::string, std::string> features;
  for (const auto& [name, feature] : example.features().feature()) {
    std::string& text = features[name] = absl::StrCat(name, " (no list)");
    if (feature.has_bytes_list()) {
      const auto& list = feature.bytes_list();
      text = list.value_size() == 1 ? absl::StrCat(name, " bytes[", list.value(0).size(), "]")
                                    : absl::StrCat(name, " ", list.value_size(), " strings");
    } else if (feature.has_float_list()) {
      text = absl::StrCat(name, " float[", feature.float_list().value_size(), "]");
    } else if (feature.has_int64_list()) {
      text = absl::StrCat(name, " int64[", feature.int64_list().value_size(), "]");
    }
  }
  return absl::StrJoin(features, ", ", [](std::string* out, const auto& f) { out->append(f.second); });
}

// What was found in one file.
struct Findings {
  int64_t records = 0, damaged = 0;
  uint64_t bytes = 0;
  std::string lines;  // of damage
};

void AddDamage(const absl::Status& status, Findings* findings) {
  constexpr int64_t kTold = 20;
  if (++findings->damaged <= kTold) absl::StrAppend(&findings->lines, status.message(), "\n");
}

// Of a server's file one piece after another is in memory.
Findings VerifyRemoteFile(FileSystem* fs, const std::string& path) {
  Findings findings;
  const auto dataset = Dataset::Open(fs, {path});
  if (!dataset.ok()) {
    AddDamage(dataset.status(), &findings);
    return findings;
  }
  findings.bytes = static_cast<uint64_t>((*dataset)->size_bytes());
  DatasetPass pass(dataset->get(), 0, (*dataset)->size());
  for (int64_t id = 0; id < (*dataset)->size(); ++id) {
    const auto record = pass.Record(id);
    if (record.ok()) {
      ++findings.records;
      continue;
    }
    AddDamage(record.status(), &findings);
    if (absl::IsUnavailable(record.status())) break;  // nor would the next one be answered
  }
  return findings;
}

Findings VerifyFile(FileSystem* fs, const std::string& path) {
  if (IsRemote(path)) return VerifyRemoteFile(fs, path);
  Findings findings;
  auto bytes = RecordBytes::Open(fs, path);
  if (!bytes.ok()) {
    AddDamage(bytes.status(), &findings);
    return findings;
  }
  findings.bytes = bytes->view().size();
  RecordScanner scan(path, bytes->view());
  do {
    while (scan.Next()) ++findings.records;
    if (!scan.status().ok()) AddDamage(bytes->Explain(path, scan.status()), &findings);
  } while (scan.Skip());
  const absl::Status index = CompareWithSidecar(fs, path, *bytes);
  if (!index.ok()) AddDamage(index, &findings);
  return findings;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListRecordFiles(FileSystem* fs,
                                                         const std::vector<std::string>& patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(std::vector<std::string> matches, GlobRecords(fs, pattern));
    for (std::string& path : matches) {
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(std::move(path));
    }
  }
  return paths;
}

absl::Status ListRecords(FileSystem* fs, const std::vector<std::string>& patterns, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  int64_t records = 0;
  uint64_t bytes = 0;
  out << absl::StreamFormat("%12s %14s  %s\n", "records", "bytes", "file: features of its first record");
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const auto file, RecordFile::Open(fs, path));
    ASSIGN_OR_RETURN(const RecordView first, file->Record(0));
    const Compression compression = file->stored().compression;
    const std::string packed =
        compression == Compression::kNone
            ? ""
            : absl::StrCat(" (", NameOf(compression), ", ", file->stored().size_bytes, " bytes stored)");
    out << absl::StreamFormat("%12d %14u  %s%s: %s\n", file->records(), file->size_bytes(), path, packed,
                              FeaturesOf(first));
    records += file->records();
    bytes += file->size_bytes();
  }
  if (paths.size() > 1) out << absl::StreamFormat("%12d %14u  in %u files\n", records, bytes, paths.size());
  return absl::OkStatus();
}

absl::Status VerifyRecords(FileSystem* fs, const std::vector<std::string>& patterns, int threads,
                           std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  std::vector<Findings> findings(paths.size());
  std::atomic<size_t> next = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < std::max(1, threads); ++i) {
    workers.emplace_back([&] {
      for (size_t file = next++; file < paths.size(); file = next++)
        findings[file] = VerifyFile(fs, paths[file]);
    });
  }
  for (std::thread& worker : workers) worker.join();
  Findings total;
  int64_t damaged_files = 0;
  for (const Findings& f : findings) {
    out << f.lines;
    total.records += f.records;
    total.damaged += f.damaged;
    total.bytes += f.bytes;
    damaged_files += f.damaged > 0;
  }
  out << absl::StreamFormat("%d whole records in %u files, %u bytes\n", total.records, paths.size(),
                            total.bytes);
  if (total.damaged == 0) return absl::OkStatus();
  return DataError(
      absl::StrFormat("%d damaged places in %d of %u files", total.damaged, damaged_files, paths.size()));
}

namespace {

bool ParseRecord(absl::string_view record, google::protobuf::Message* message) {
  return message->ParseFromArray(record.data(), static_cast<int>(record.size()));
}

absl::Status PrintRecord(const google::protobuf::Message& message, const std::string& place, CatFormat format,
                         std::ostream& out) {
  if (format == CatFormat::kText) {
    out << "# " << place << "\n" << message.DebugString();
    return absl::OkStatus();
  }
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json);
  if (!status.ok()) return DataError(absl::StrCat(place, ": ", std::string(status.message())));
  out << json << "\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status CatRecords(FileSystem* fs, const std::vector<std::string>& patterns, const CatOptions& options,
                        std::ostream& out) {
  ASSIGN_OR_RETURN(const RecordMatch match, RecordMatch::Parse(options.where));
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  const int64_t size = dataset->size(), begin = std::clamp<int64_t>(options.first, 0, size);
  // Without conditions it is known where the last one stands, and nothing is read behind it.
  const int64_t end =
      options.limit < 0 || !options.where.empty() ? size : begin + std::min(options.limit, size - begin);
  DatasetPass pass(dataset.get(), begin, end);
  int64_t printed = 0;
  for (int64_t id = begin; id < end && (options.limit < 0 || printed < options.limit); ++id) {
    ASSIGN_OR_RETURN(const RecordView record, pass.Record(id));
    const std::string place = dataset->Describe(id);
    records::SequenceExample sequence;
    records::Example example;
    const bool is_sequence = ParseRecord(record, &sequence) && sequence.has_feature_lists();
    if (!is_sequence && !ParseRecord(record, &example))
      return DataError(absl::StrCat(place, " is not a tf.train.Example or SequenceExample"));
    if (!match.Matches(is_sequence ? sequence.context() : example.features())) continue;
    ++printed;
    const google::protobuf::Message& message =
        is_sequence ? static_cast<const google::protobuf::Message&>(sequence) : example;
    RETURN_IF_ERROR(PrintRecord(message, place, options.format, out));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
