#include "runtime/data/compressor.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <vector>

namespace lockstep::data {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 18;

class Copier final : public Compressor {
 public:
  absl::Status Append(absl::string_view bytes, std::string* out) override {
    out->append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Finish(std::string*) override { return absl::OkStatus(); }
};

class Deflater final : public Compressor {
 public:
  explicit Deflater(Compression compression) : level_buffer_(ISAL_DEF_LVL2_DEFAULT) {
    isal_deflate_init(stream_.get());
    stream_->gzip_flag = compression == Compression::kGzip ? IGZIP_GZIP : IGZIP_ZLIB;
    stream_->level = 2;
    stream_->level_buf = level_buffer_.data();
    stream_->level_buf_size = static_cast<uint32_t>(level_buffer_.size());
  }

  absl::Status Append(absl::string_view bytes, std::string* out) override {
    while (!bytes.empty()) {
      const absl::string_view piece = bytes.substr(0, size_t{1} << 30);  // its counters have 32 bits
      RETURN_IF_ERROR(Run(piece, out));
      bytes.remove_prefix(piece.size());
    }
    return absl::OkStatus();
  }
  absl::Status Finish(std::string* out) override {
    stream_->end_of_stream = 1;
    return Run({}, out);
  }

 private:
  absl::Status Run(absl::string_view bytes, std::string* out) {
    stream_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
    stream_->avail_in = static_cast<uint32_t>(bytes.size());
    do {
      stream_->next_out = chunk_.data();
      stream_->avail_out = static_cast<uint32_t>(chunk_.size());
      const int result = isal_deflate(stream_.get());
      if (result != COMP_OK) return absl::InternalError(absl::StrCat("deflate says ", result));
      out->append(reinterpret_cast<const char*>(chunk_.data()), chunk_.size() - stream_->avail_out);
    } while (stream_->avail_in > 0 || stream_->avail_out == 0);
    return absl::OkStatus();
  }

  const std::unique_ptr<isal_zstream> stream_ = std::make_unique<isal_zstream>();
  std::vector<uint8_t> level_buffer_, chunk_ = std::vector<uint8_t>(kChunkBytes);
};

class Zstd final : public Compressor {
 public:
  Zstd() {
    if (context_ != nullptr) ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  absl::Status Append(absl::string_view bytes, std::string* out) override {
    return Run(bytes, ZSTD_e_continue, out);
  }
  absl::Status Finish(std::string* out) override { return Run({}, ZSTD_e_end, out); }

 private:
  absl::Status Run(absl::string_view bytes, ZSTD_EndDirective directive, std::string* out) {
    if (context_ == nullptr) return absl::ResourceExhaustedError("no memory for a compressor");
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool done = false; !done;) {
      ZSTD_outBuffer made{chunk_.data(), chunk_.size(), 0};
      const size_t left = ZSTD_compressStream2(context_.get(), &made, &in, directive);
      if (ZSTD_isError(left)) return absl::InternalError(absl::StrCat("zstd says ", ZSTD_getErrorName(left)));
      out->append(chunk_.data(), made.pos);
      done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context_{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::vector<char> chunk_ = std::vector<char>(kChunkBytes);
};

}  // namespace

std::unique_ptr<Compressor> MakeCompressor(Compression compression) {
  if (compression == Compression::kNone) return std::make_unique<Copier>();
  if (compression == Compression::kZstd) return std::make_unique<Zstd>();
  return std::make_unique<Deflater>(compression);
}

}  // namespace lockstep::data
