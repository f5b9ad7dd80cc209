// JPEG by libjpeg-turbo. Its accurate integer DCT and its "fancy" upsampling give the same bits with and
// without SIMD instructions.
//
// The library reports errors by a callback that must not return. Ours jumps back into the one function that
// called the library; between that function and the callback there are only frames of the library, and the
// function itself has no object with a destructor, so nothing is left undone.
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it before

#include <jpeglib.h>

#include <algorithm>

#include <jerror.h>

#include "runtime/data/image/image_decoder.h"

namespace lockstep::data {
namespace {

constexpr int kMostScans = 100;  // ten are common; a small file of very many takes forever
constexpr double kMostPixelsAByte = 512;

struct Errors {
  jpeg_error_mgr manager;  // first: the library hands back a pointer to it
  jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void OnError(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  errors->manager.format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}

// Level -1 is a warning: something in the file is wrong, and the library will go on with made-up pixels. Only
// where it makes up nothing does it go on here too.
void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      OnError(info);
  }
}

void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto* errors = reinterpret_cast<Errors*>(info->err);
  std::snprintf(errors->message, sizeof errors->message, "more than %d scans", kMostScans);
  std::longjmp(errors->back, 1);
}

// The source: all bytes are there from the beginning.
void SourceDoesNothing(j_decompress_ptr) {}
boolean SourceEnds(j_decompress_ptr info) {
  ERREXIT(info, JERR_INPUT_EOF);
  return FALSE;
}
void SourceSkips(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<size_t>(count) > info->src->bytes_in_buffer) ERREXIT(info, JERR_INPUT_EOF);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<size_t>(count);
}

struct Jpeg {
  jpeg_decompress_struct info = {};
  Errors errors = {};
  jpeg_source_mgr source = {};
  jpeg_progress_mgr progress = {};
};

// ---- The functions that call the library. Each returns false after an error, with its text in
// errors.message.

bool ReadHeader(Jpeg* jpeg, const JOCTET* bytes, size_t size_bytes, long max_memory_bytes) {
  if (setjmp(jpeg->errors.back) != 0) return false;
  jpeg->info.err = jpeg_std_error(&jpeg->errors.manager);
  jpeg->errors.manager.error_exit = OnError;
  jpeg->errors.manager.emit_message = OnMessage;
  jpeg_create_decompress(&jpeg->info);
  jpeg->info.mem->max_memory_to_use = max_memory_bytes;
  jpeg->progress.progress_monitor = OnProgress;
  jpeg->info.progress = &jpeg->progress;
  jpeg->source = {bytes,
                  size_bytes,
                  SourceDoesNothing,
                  SourceEnds,
                  SourceSkips,
                  jpeg_resync_to_restart,
                  SourceDoesNothing};
  jpeg->info.src = &jpeg->source;
  return jpeg_read_header(&jpeg->info, TRUE) == JPEG_HEADER_OK;
}

// Narrows the columns to *x .. *x + *width - 1 or a few more on either side, and says which.
bool Start(Jpeg* jpeg, int shrink, J_COLOR_SPACE colour, JDIMENSION* x, JDIMENSION* width) {
  if (setjmp(jpeg->errors.back) != 0) return false;
  jpeg->info.scale_num = 1;
  jpeg->info.scale_denom = static_cast<unsigned>(shrink);
  jpeg->info.out_color_space = colour;
  jpeg->info.dct_method = JDCT_ISLOW;
  jpeg->info.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&jpeg->info);
  if (*width < jpeg->info.output_width) jpeg_crop_scanline(&jpeg->info, x, width);
  return true;
}

bool ReadRows(Jpeg* jpeg, int first, int count, JSAMPROW out, size_t row_bytes) {
  if (setjmp(jpeg->errors.back) != 0) return false;
  if (first > 0) jpeg_skip_scanlines(&jpeg->info, static_cast<JDIMENSION>(first));
  const JDIMENSION end = static_cast<JDIMENSION>(first + count);
  while (jpeg->info.output_scanline < end) {
    JSAMPROW rows[4];
    const JDIMENSION at = jpeg->info.output_scanline - static_cast<JDIMENSION>(first);
    const JDIMENSION wanted = std::min<JDIMENSION>(4, end - jpeg->info.output_scanline);
    for (JDIMENSION i = 0; i < wanted; ++i) rows[i] = out + (at + i) * row_bytes;
    jpeg_read_scanlines(&jpeg->info, rows, wanted);
  }
  if (end == jpeg->info.output_height) jpeg_finish_decompress(&jpeg->info);  // the end mark must be there
  return true;
}

// ----

// Adobe's programs store CMYK inverted, and everybody follows them.
void CmykToRgbx(bool inverted, Pixels* pixels) {
  const size_t bytes = pixels->row_bytes() * static_cast<size_t>(pixels->window().height);
  uint8_t* p = pixels->row(0);
  const unsigned flip = inverted ? 0 : 255;
  for (size_t i = 0; i < bytes; i += 4) {
    const unsigned k = p[i + 3] ^ flip;
    for (size_t c = i; c < i + 3; ++c) p[c] = static_cast<uint8_t>(((p[c] ^ flip) * k + 127) / 255);
  }
}

class JpegDecoder final : public ImageDecoder {
 public:
  ~JpegDecoder() override { jpeg_destroy_decompress(&jpeg_.info); }

  absl::Status Open(absl::string_view bytes, const ImageLimits& limits) {
    if (!ReadHeader(&jpeg_, reinterpret_cast<const JOCTET*>(bytes.data()), bytes.size(),
                    static_cast<long>(limits.max_memory_bytes))) {
      return Error();
    }
    if (jpeg_.info.arith_code) return DataError("JPEG: arithmetic coding is not supported");
    switch (jpeg_.info.jpeg_color_space) {
      case JCS_GRAYSCALE:
      case JCS_YCbCr:
      case JCS_RGB:
      case JCS_CMYK:
      case JCS_YCCK:
        break;
      default:
        return DataError(
            absl::StrCat("JPEG: ", jpeg_.info.num_components, " components of an unknown colour space"));
    }
    width_ = static_cast<int>(jpeg_.info.image_width);
    height_ = static_cast<int>(jpeg_.info.image_height);
    const absl::Status size = CheckSize(width_, height_, bytes.size(), kMostPixelsAByte, limits);
    return size.ok() ? size : Annotate(size, "JPEG");
  }

  bool can_shrink() const override { return true; }

  absl::Status Decode(const DecodeRequest& request, Pixels* out) override {
    const bool cmyk = jpeg_.info.jpeg_color_space == JCS_CMYK || jpeg_.info.jpeg_color_space == JCS_YCCK;
    const J_COLOR_SPACE colour = cmyk ? JCS_CMYK : request.gray ? JCS_GRAYSCALE : JCS_EXT_RGBX;
    // Upsampled chroma depends on its neighbours, which are missing at the edges of what is decoded.
    constexpr int kMargin = 4;
    const int whole_width = (width_ + request.shrink - 1) / request.shrink;
    const int begin = std::max(0, request.window.x - kMargin);
    const int end = std::min(whole_width, request.window.x + request.window.width + kMargin);
    JDIMENSION x = static_cast<JDIMENSION>(begin), width = static_cast<JDIMENSION>(end - begin);
    if (!Start(&jpeg_, request.shrink, colour, &x, &width)) return Error();
    out->Reset({static_cast<int>(x), request.window.y, static_cast<int>(width), request.window.height},
               colour == JCS_GRAYSCALE ? 1 : 4);
    if (!ReadRows(&jpeg_, request.window.y, request.window.height, out->row(0), out->row_bytes())) {
      return Error();
    }
    if (!cmyk) return absl::OkStatus();
    CmykToRgbx(jpeg_.info.saw_Adobe_marker != 0, out);
    if (request.gray) out->MakeGray();
    return absl::OkStatus();
  }

 private:
  absl::Status Error() const { return DataError(absl::StrCat("JPEG: ", jpeg_.errors.message)); }

  Jpeg jpeg_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageDecoder>> OpenJpeg(absl::string_view bytes, const ImageLimits& limits) {
  auto decoder = std::make_unique<JpegDecoder>();
  RETURN_IF_ERROR(decoder->Open(bytes, limits));
  return std::unique_ptr<ImageDecoder>(std::move(decoder));
}

}  // namespace lockstep::data
