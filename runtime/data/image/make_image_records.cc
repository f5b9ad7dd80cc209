#include "runtime/data/image/make_image_records.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/example.pb.h"
#include "runtime/core/clock.h"
#include "runtime/data/image/image_decoder.h"
#include "runtime/data/order.h"
#include "runtime/data/record_shards.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

constexpr double kProgressSeconds = 5;

struct Picture {
  std::string name;  // folder/file
  int64_t label = 0;
};

struct Listing {
  std::vector<std::string> classes;
  std::vector<Picture> pictures;  // by class, then by name
  int64_t passed_over = 0;        // files that are no pictures by their names
};

bool IsPicture(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::EndsWith(lower, ".jpg") || absl::EndsWith(lower, ".jpeg") || absl::EndsWith(lower, ".png");
}

absl::StatusOr<std::vector<FileInfo>> ListFolder(FileSystem* fs, const std::string& folder) {
  auto entries = fs->List(folder);
  if (!entries.ok()) return DataError(entries.status().message());
  std::sort(entries->begin(), entries->end(),
            [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  return entries;
}

absl::StatusOr<Listing> ListClasses(FileSystem* fs, const std::string& root) {
  Listing listing;
  ASSIGN_OR_RETURN(const std::vector<FileInfo> folders, ListFolder(fs, root));
  for (const FileInfo& folder : folders) {
    if (folder.name[0] == '.') continue;
    if (!folder.is_folder) {
      ++listing.passed_over;
      continue;
    }
    const size_t before = listing.pictures.size();
    ASSIGN_OR_RETURN(const std::vector<FileInfo> files, ListFolder(fs, JoinPath(root, folder.name)));
    for (const FileInfo& file : files) {
      if (file.is_folder || file.name[0] == '.' || !IsPicture(file.name)) {
        listing.passed_over += file.name[0] != '.';
        continue;
      }
      listing.pictures.push_back(
          {JoinPath(folder.name, file.name), static_cast<int64_t>(listing.classes.size())});
    }
    if (listing.pictures.size() == before) {
      return DataError(absl::StrCat(JoinPath(root, folder.name),
                                    " has no .jpg, .jpeg or .png file; each folder in ", root,
                                    " is a class"));
    }
    listing.classes.push_back(folder.name);
  }
  if (listing.classes.empty()) {
    return DataError(
        absl::StrCat(root, " has no folders; each folder in it would be a class and hold its pictures"));
  }
  return listing;
}

void SetBytes(const std::string& value, records::Feature* feature) {
  feature->mutable_bytes_list()->add_value(value);
}

absl::StatusOr<std::string> RecordOf(FileSystem* fs, const std::string& root, const std::string& class_name,
                                     const Picture& picture) {
  const std::string path = JoinPath(root, picture.name);
  auto contents = ReadWholeFile(fs, path);
  if (!contents.ok()) return DataError(contents.status().message());
  const auto decoder = ImageDecoder::Open(*contents);
  if (!decoder.ok()) return Annotate(decoder.status(), path);
  records::Example example;
  auto& features = *example.mutable_features()->mutable_feature();
  SetBytes(*contents, &features["image/encoded"]);
  SetBytes(class_name, &features["image/class/text"]);
  SetBytes(picture.name, &features["image/filename"]);
  features["image/class/label"].mutable_int64_list()->add_value(picture.label);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps in the order of their keys
    example.SerializeToCodedStream(&coded);
  }
  return bytes;
}

class Progress {
 public:
  Progress(int64_t total, std::ostream* out) : total_(total), out_(out) {}
  void Done() {
    ++done_;
    const double now = MonotonicSeconds();
    if (now - told_ < kProgressSeconds) return;
    told_ = now;
    *out_ << absl::StreamFormat("%d of %d pictures, %.0f a second\n", done_, total_,
                                static_cast<double>(done_) / (now - start_))
          << std::flush;
  }

 private:
  const int64_t total_;
  std::ostream* const out_;
  const double start_ = MonotonicSeconds();
  double told_ = start_;
  int64_t done_ = 0;
};

struct Job {
  FileSystem* fs;
  const std::string& root;
  const Listing& listing;
  const MakeTarget& target;
  Progress* progress;
  std::ostream& out;
};

absl::StatusOr<std::string> RecordOf(const Job& job, int64_t id) {
  const Picture& picture = job.listing.pictures[id];
  return RecordOf(job.fs, job.root, job.listing.classes[picture.label], picture);
}

// As many files as the target's limits ask for.
absl::Status WriteLimited(const Job& job, const std::string& prefix, absl::Span<const int64_t> ids) {
  const MakeTarget& target = job.target;
  ShardedRecordWriter writer(
      job.fs, prefix, {target.shard_records, target.shard_bytes, {target.compression, target.write_index}});
  for (const int64_t id : ids) {
    ASSIGN_OR_RETURN(const std::string record, RecordOf(job, id));
    RETURN_IF_ERROR(writer.Write(record));
    job.progress->Done();
  }
  ASSIGN_OR_RETURN(const std::vector<Shard> shards, writer.Close());
  for (const Shard& shard : shards) {
    job.out << shard.path << ": " << shard.records << " records, " << shard.bytes << " bytes\n";
  }
  return absl::OkStatus();
}

// `part` is "" or "-train" or "-test"; `ids` are pictures.
absl::Status WritePart(const Job& job, const std::string& prefix, int shards, absl::Span<const int64_t> ids) {
  if (job.target.shard_records > 0 || job.target.shard_bytes > 0) return WriteLimited(job, prefix, ids);
  if (ids.size() < static_cast<size_t>(shards)) {
    return ConfigError(absl::StrCat(prefix, ": ", ids.size(), " pictures cannot fill ", shards, " files"));
  }
  size_t begin = 0;
  for (int shard = 0; shard < shards; ++shard) {
    const size_t count = ids.size() / shards + (static_cast<size_t>(shard) < ids.size() % shards ? 1 : 0);
    const std::string path = ShardName(prefix, shard, shards, job.target.compression);
    ASSIGN_OR_RETURN(auto writer,
                     RecordWriter::Create(job.fs, path, {job.target.compression, job.target.write_index}));
    for (const int64_t id : ids.subspan(begin, count)) {
      ASSIGN_OR_RETURN(const std::string record, RecordOf(job, id));
      RETURN_IF_ERROR(writer->Write(record));
      job.progress->Done();
    }
    RETURN_IF_ERROR(writer->Close());
    job.out << path << ": " << count << " records, " << writer->stored_bytes() << " bytes\n";
    begin += count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeFromFolders(FileSystem* fs, const FolderOptions& options, const MakeTarget& target,
                             std::ostream& out) {
  ASSIGN_OR_RETURN(const Listing listing, ListClasses(fs, options.input));
  const int64_t size = static_cast<int64_t>(listing.pictures.size());
  const Permutation shuffle(options.shuffle.value_or(0), 0, size);
  std::vector<int64_t> train, test;
  for (int64_t i = 0; i < size; ++i) {
    const bool held_out = options.test_every > 0 && i % options.test_every == 0;
    (held_out ? test : train).push_back(options.shuffle.has_value() ? shuffle(i) : i);
  }
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(target.out)));
  Progress progress(size, &out);
  const Job job = {fs, options.input, listing, target, &progress, out};
  const bool held_out = options.test_every > 0;
  RETURN_IF_ERROR(WritePart(job, absl::StrCat(target.out, held_out ? "-train" : ""), target.shards, train));
  if (held_out) RETURN_IF_ERROR(WritePart(job, absl::StrCat(target.out, "-test"), 1, test));
  const std::string classes = absl::StrCat(target.out, "-classes.txt");
  RETURN_IF_ERROR(WriteFileAtomically(fs, classes, absl::StrCat(absl::StrJoin(listing.classes, "\n"), "\n")));
  out << classes << ": " << listing.classes.size() << " classes\n";
  if (listing.passed_over > 0) {
    out << "passed over " << listing.passed_over << " that are not .jpg, .jpeg or .png\n";
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
