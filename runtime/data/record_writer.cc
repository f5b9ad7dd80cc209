#include "runtime/data/record_writer.h"

#include <utility>

namespace lockstep::data {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

std::string TemporaryPath(const std::string& path) { return absl::StrCat(path, ".tmp"); }

uint32_t AppendFramed(absl::string_view payload, std::string* out) {
  char header[kRecordHeaderBytes];
  EncodeRecordHeader(payload.size(), header);
  const uint32_t crc = MaskedCrcOf(payload.data(), payload.size());
  out->append(header, sizeof header);
  out->append(payload.data(), payload.size());
  out->append(reinterpret_cast<const char*>(&crc), sizeof crc);
  return crc;
}

}  // namespace

RecordWriter::RecordWriter(FileSystem* fs, std::string path, std::unique_ptr<WritableFile> file)
    : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<RecordWriter>> RecordWriter::Create(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, fs->Create(TemporaryPath(path)));
  return std::unique_ptr<RecordWriter>(new RecordWriter(fs, path, std::move(file)));
}

RecordWriter::~RecordWriter() {
  if (file_ == nullptr) return;
  file_.reset();
  fs_->Delete(TemporaryPath(path_)).IgnoreError();  // given up: there is nobody to tell
}

absl::Status RecordWriter::Write(absl::string_view payload) {
  const uint32_t crc = AppendFramed(payload, &buffer_);
  index_.Add(payload.size(), crc);
  return buffer_.size() >= kBufferBytes ? Flush() : absl::OkStatus();
}

absl::Status RecordWriter::Flush() {
  RETURN_IF_ERROR(file_->Append(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status RecordWriter::Close() {
  RETURN_IF_ERROR(Flush());
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(file_->Close());
  RETURN_IF_ERROR(fs_->Rename(TemporaryPath(path_), path_));
  file_ = nullptr;
  return fs_->SyncFolder(ParentFolder(path_));
}

std::string FrameRecord(absl::string_view payload) {
  std::string out;
  out.reserve(payload.size() + kRecordFramingBytes);
  AppendFramed(payload, &out);
  return out;
}

}  // namespace lockstep::data
