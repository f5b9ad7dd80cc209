#include "runtime/data/record_writer.h"

#include <utility>

#include "runtime/core/hash.h"

namespace lockstep::data {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

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

RecordWriter::RecordWriter(FileSystem* fs, std::string path, std::unique_ptr<WritableFile> file,
                           RecordWriterOptions options)
    : fs_(fs),
      temporary_(absl::StrCat(path, ".tmp")),
      path_(std::move(path)),
      options_(options),
      compressor_(options.compression == Compression::kNone ? nullptr : MakeCompressor(options.compression)),
      file_(std::move(file)) {
  stored_.compression = options.compression;
}

absl::StatusOr<std::unique_ptr<RecordWriter>> RecordWriter::Create(FileSystem* fs, const std::string& path,
                                                                   RecordWriterOptions options) {
  ASSIGN_OR_RETURN(auto file, fs->Create(absl::StrCat(path, ".tmp")));
  return std::unique_ptr<RecordWriter>(new RecordWriter(fs, path, std::move(file), options));
}

RecordWriter::~RecordWriter() {
  if (published_) return;
  file_.reset();
  fs_->Delete(temporary_).IgnoreError();  // given up: there is nobody to tell
}

absl::Status RecordWriter::Write(absl::string_view payload) {
  const uint32_t crc = AppendFramed(payload, &buffer_);
  builder_.Add(payload.size(), crc);
  return buffer_.size() >= kBufferBytes ? Flush() : absl::OkStatus();
}

absl::Status RecordWriter::Flush() {
  std::string* bytes = &buffer_;
  if (compressor_ != nullptr) {
    RETURN_IF_ERROR(compressor_->Append(buffer_, &compressed_));
    buffer_.clear();
    bytes = &compressed_;
    stored_.crc = Crc32c(stored_.crc, compressed_.data(), compressed_.size());
  }
  RETURN_IF_ERROR(file_->Append(*bytes));
  stored_.size_bytes += bytes->size();
  bytes->clear();
  return absl::OkStatus();
}

absl::Status RecordWriter::Seal() {
  RETURN_IF_ERROR(Flush());
  if (compressor_ != nullptr) {
    RETURN_IF_ERROR(compressor_->Finish(&compressed_));
    stored_.crc = Crc32c(stored_.crc, compressed_.data(), compressed_.size());
    RETURN_IF_ERROR(file_->Append(compressed_));
    stored_.size_bytes += compressed_.size();
    compressor_.reset();
  }
  buffer_ = compressed_ = std::string();  // sealed files may wait in great numbers
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(file_->Close());
  file_ = nullptr;
  return absl::OkStatus();
}

absl::Status RecordWriter::Publish(const std::string& path) {
  RETURN_IF_ERROR(fs_->Rename(temporary_, path));
  published_ = true;
  RETURN_IF_ERROR(fs_->SyncFolder(ParentFolder(path)));
  if (!options_.write_index) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto file, fs_->Open(path));
  stored_.modified_ns = file->modified_ns();
  RecordIndex index = builder_.Finish();
  index.set_stored(stored_);
  return WriteIndex(fs_, path, index);
}

absl::Status RecordWriter::Close() {
  RETURN_IF_ERROR(Seal());
  return Publish(path_);
}

std::string FrameRecord(absl::string_view payload) {
  std::string out;
  out.reserve(payload.size() + kRecordFramingBytes);
  AppendFramed(payload, &out);
  return out;
}

}  // namespace lockstep::data
