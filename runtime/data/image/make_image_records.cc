#include "runtime/data/image/make_image_records.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/example.pb.h"
#include "runtime/data/image/image_decoder.h"
#include "runtime/data/make_streamed.h"
#include "runtime/data/order.h"

namespace lockstep::data {
namespace {

struct Picture {
  std::string name;  // folder/file
  int64_t label = 0;
  uint64_t size_bytes = 0;
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
          {JoinPath(folder.name, file.name), static_cast<int64_t>(listing.classes.size()), file.size_bytes});
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

// Names and sizes of all pictures, and what orders them.
std::string IdentityOf(const FolderOptions& options, const Listing& listing) {
  std::string text =
      absl::StrCat("images\n", options.shuffle.has_value() ? absl::StrCat(*options.shuffle) : "-", " ",
                   options.test_every, "\n");
  for (const Picture& picture : listing.pictures)
    absl::StrAppend(&text, picture.name, "\n", picture.size_bytes, "\n");
  return text;
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
  const bool held_out = options.test_every > 0;
  MakeJob job;
  job.unit = "pictures";
  job.parts.push_back({held_out ? "-train" : "", target.shards, std::move(train)});
  if (held_out) job.parts.push_back({"-test", 1, std::move(test)});
  job.identity = IdentityOf(options, listing);
  job.record = [&](int64_t id, const MakeJob::Write& write) -> absl::Status {
    const Picture& picture = listing.pictures[static_cast<size_t>(id)];
    ASSIGN_OR_RETURN(
        const std::string record,
        RecordOf(fs, options.input, listing.classes[static_cast<size_t>(picture.label)], picture));
    return write(record);
  };
  RETURN_IF_ERROR(MakeStreamed(fs, job, target, out));
  const std::string classes = absl::StrCat(target.out, "-classes.txt");
  RETURN_IF_ERROR(WriteFileAtomically(fs, classes, absl::StrCat(absl::StrJoin(listing.classes, "\n"), "\n")));
  out << classes << ": " << listing.classes.size() << " classes\n";
  if (listing.passed_over > 0) {
    out << "passed over " << listing.passed_over << " that are not .jpg, .jpeg or .png\n";
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
