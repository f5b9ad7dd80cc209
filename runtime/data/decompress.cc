#include "runtime/data/decompress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_format.h"

namespace lockstep::data {
namespace {

// The part of an error that all have in common: where in the file, and how much had come out.
std::string Place(const std::string& path, Compression compression, size_t at, size_t made) {
  return absl::StrFormat("%s, %s stream, at about byte %u (%u bytes decompressed)", path, NameOf(compression),
                         at, made);
}

absl::Status Damaged(const std::string& path, Compression compression, size_t at, size_t made,
                     absl::string_view what) {
  return DataError(absl::StrCat(Place(path, compression, at, made), ": ", what));
}

absl::Status NoRoom(const std::string& path, Compression compression, size_t at, size_t made,
                    const absl::Status& why) {
  return DataError(absl::StrCat(
      Place(path, compression, at, made), ": ", why.message(),
      "; files compressed as a whole are held in memory decompressed: use plain files for so much data"));
}

constexpr char kCut[] = "the stream is cut short";

absl::string_view InflateTrouble(int result) {
  switch (result) {
    case ISAL_END_INPUT:
      return kCut;
    case ISAL_NEED_DICT:
      return "the stream needs a dictionary, which record files do not have";
    case ISAL_INVALID_WRAPPER:
      return "the header is damaged";
    case ISAL_UNSUPPORTED_METHOD:
      return "the header names a method that does not exist";
    case ISAL_INCORRECT_CHECKSUM:
      return "the stream's checksum is not that of its contents";
    default:
      return "the stream is damaged";
  }
}

// One gzip member or zlib stream after another.
class Inflater {
 public:
  Inflater(const std::string& path, Compression compression, absl::string_view stored, GrowingMemory* out)
      : path_(path), compression_(compression), stored_(stored), out_(out) {}

  absl::Status Run() {
    do {
      RETURN_IF_ERROR(Member());
    } while (compression_ == Compression::kGzip && at_ < stored_.size());
    if (at_ == stored_.size()) return absl::OkStatus();
    return Trouble(absl::StrCat(stored_.size() - at_, " more bytes behind the end of the stream"));
  }

 private:
  absl::Status Trouble(absl::string_view what) const {
    return Damaged(path_, compression_, at_, out_->view().size(), what);
  }

  absl::Status Member() {
    isal_inflate_init(state_.get());
    state_->crc_flag = compression_ == Compression::kGzip ? ISAL_GZIP : ISAL_ZLIB;
    if (compression_ == Compression::kGzip && !GzipBegins(stored_.substr(at_)))
      return Trouble("what follows is no gzip member");
    while (state_->block_state != ISAL_BLOCK_FINISH) RETURN_IF_ERROR(Step());
    at_ -= static_cast<size_t>(state_->read_in_length) / 8;  // whole bytes that it took ahead and did not use
    return absl::OkStatus();
  }

  // ISA-L takes reserved flags for nothing; RFC 1952 wants them refused, since they change what follows.
  static bool GzipBegins(absl::string_view bytes) {
    constexpr unsigned char kReservedFlags = 0xe0;
    if (bytes.size() < 4)
      return bytes.substr(0, 2) == absl::string_view("\x1f\x8b", 2).substr(0, bytes.size());
    return bytes[0] == '\x1f' && bytes[1] == '\x8b' &&
           (static_cast<unsigned char>(bytes[3]) & kReservedFlags) == 0;
  }

  absl::Status Step() {
    auto room = out_->Room();
    if (!room.ok()) return NoRoom(path_, compression_, at_, out_->view().size(), room.status());
    constexpr size_t kMostBytes = size_t{1} << 30;  // its counters have 32 bits
    const size_t offered = std::min(stored_.size() - at_, kMostBytes);
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(stored_.data() + at_));
    state_->avail_in = static_cast<uint32_t>(offered);
    state_->next_out = reinterpret_cast<uint8_t*>(room->data());
    state_->avail_out = static_cast<uint32_t>(room->size());
    const int result = isal_inflate(state_.get());
    const size_t made = room->size() - state_->avail_out, used = offered - state_->avail_in;
    at_ += used;
    out_->Add(made);
    if (result != ISAL_DECOMP_OK) return Trouble(InflateTrouble(result));
    const bool stuck = made == 0 && used == 0 && state_->block_state != ISAL_BLOCK_FINISH;
    return stuck ? Trouble(kCut) : absl::OkStatus();
  }

  const std::string& path_;
  const Compression compression_;
  const absl::string_view stored_;
  GrowingMemory* const out_;
  size_t at_ = 0;
  const std::unique_ptr<inflate_state> state_ =
      std::make_unique<inflate_state>();  // large: not for the stack
};

absl::Status Unzstd(const std::string& path, absl::string_view stored, GrowingMemory* out) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr) return DataError(absl::StrCat(path, ": no memory for a decompressor"));
  // In pieces, the last four bytes by themselves: there stands the checksum of the (last) frame, and a call
  // that finds it wrong keeps what it had decompressed to itself.
  constexpr size_t kPieceBytes = size_t{1} << 17, kChecksumBytes = 4;
  ZSTD_inBuffer in{stored.data(), 0, 0};
  size_t wanted = 1;  // 0 where a frame has just ended
  while (in.pos < stored.size() || wanted != 0) {
    if (in.pos == in.size) {
      const size_t rest = stored.size() - in.pos;
      in.size += rest > kChecksumBytes ? std::min(kPieceBytes, rest - kChecksumBytes) : rest;
    }
    auto room = out->Room();
    if (!room.ok()) return NoRoom(path, Compression::kZstd, in.pos, out->view().size(), room.status());
    ZSTD_outBuffer made{room->data(), room->size(), 0};
    const size_t before = in.pos;
    wanted = ZSTD_decompressStream(context.get(), &made, &in);
    out->Add(made.pos);
    if (ZSTD_isError(wanted))
      return Damaged(path, Compression::kZstd, in.pos, out->view().size(), ZSTD_getErrorName(wanted));
    if (wanted != 0 && in.pos == before && made.pos == 0 && in.pos == stored.size())
      return Damaged(path, Compression::kZstd, in.pos, out->view().size(), kCut);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Decompress(const std::string& path, Compression compression, absl::string_view stored,
                        GrowingMemory* out) {
  const absl::Status status = compression == Compression::kZstd
                                  ? Unzstd(path, stored, out)
                                  : Inflater(path, compression, stored, out).Run();
  out->Trim();
  return status;
}

}  // namespace lockstep::data
