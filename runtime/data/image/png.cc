// PNG by libpng. Errors come back as in jpeg.cc: by a jump over frames of the library alone.
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <png.h>

#include <algorithm>
#include <vector>

#include "runtime/data/image/image_decoder.h"

namespace lockstep::data {
namespace {

constexpr double kMostDeflate = 1032;  // the largest ratio that deflate reaches
constexpr png_alloc_size_t kMostChunkBytes = 8 << 20;
constexpr png_uint_32 kMostChunks = 1000;  // of text and the like

struct Png {
  png_structp png = nullptr;
  png_infop info = nullptr;
  jmp_buf back;
  char message[200] = "";
  const char* at = nullptr;
  size_t left = 0;
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* self = static_cast<Png*>(png_get_error_ptr(png));
  std::snprintf(self->message, sizeof self->message, "%s", message);
  std::longjmp(self->back, 1);
}

// Of chunks beside the picture (text, colour profiles), which are passed over when they are damaged.
void OnWarning(png_structp, png_const_charp) {}

void Read(png_structp png, png_bytep out, size_t size_bytes) {
  auto* self = static_cast<Png*>(png_get_io_ptr(png));
  if (size_bytes > self->left) png_error(png, "the data end too early");
  std::memcpy(out, self->at, size_bytes);
  self->at += size_bytes;
  self->left -= size_bytes;
}

// ---- The functions that call the library. Each returns false after an error, with its text in `message`.

bool ReadHeader(Png* self, png_uint_32 max_side) {
  if (setjmp(self->back) != 0) return false;
  self->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, self, OnError, OnWarning);
  if (self->png == nullptr) {
    if (self->message[0] == 0) std::snprintf(self->message, sizeof self->message, "libpng does not start");
    return false;
  }
  self->info = png_create_info_struct(self->png);
  if (self->info == nullptr) png_error(self->png, "out of memory");
  png_set_read_fn(self->png, self, Read);
  png_set_user_limits(self->png, max_side, max_side);
  png_set_chunk_malloc_max(self->png, kMostChunkBytes);
  png_set_chunk_cache_max(self->png, kMostChunks);
  png_read_info(self->png, self->info);
  return true;
}

// Whatever is stored becomes 8 bits of gray, or of RGBX where the picture has colours or `gray` is not
// wanted.
bool Prepare(Png* self, bool gray, int* channels) {
  if (setjmp(self->back) != 0) return false;
  png_structp png = self->png;
  const int type = png_get_color_type(png, self->info);
  const bool becomes_gray = gray && (type & PNG_COLOR_MASK_COLOR) == 0;
  png_set_scale_16(png);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  png_set_strip_alpha(png);
  if (!becomes_gray) {
    if ((type & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
    png_set_filler(png, 0xff, PNG_FILLER_AFTER);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, self->info);
  *channels = becomes_gray ? 1 : 4;
  const size_t wanted =
      static_cast<size_t>(png_get_image_width(png, self->info)) * static_cast<size_t>(*channels);
  if (png_get_rowbytes(png, self->info) != wanted) png_error(png, "an unknown kind of pixels");
  return true;
}

// Rows first .. first + count - 1 of a picture that is not interlaced; earlier ones are overwritten at once.
bool ReadRows(Png* self, int first, int count, int height, png_bytep out, size_t row_bytes) {
  if (setjmp(self->back) != 0) return false;
  for (int i = 0; i < first; ++i) png_read_row(self->png, out, nullptr);
  for (int i = 0; i < count; ++i) png_read_row(self->png, out + static_cast<size_t>(i) * row_bytes, nullptr);
  if (first + count == height) png_read_end(self->png, nullptr);
  return true;
}

bool ReadInterlaced(Png* self, png_bytepp rows) {
  if (setjmp(self->back) != 0) return false;
  png_read_image(self->png, rows);
  png_read_end(self->png, nullptr);
  return true;
}

// ----

class PngDecoder final : public ImageDecoder {
 public:
  ~PngDecoder() override {
    if (self_.png != nullptr) png_destroy_read_struct(&self_.png, &self_.info, nullptr);
  }

  absl::Status Open(absl::string_view bytes, const ImageLimits& limits) {
    self_.at = bytes.data();
    self_.left = bytes.size();
    if (!ReadHeader(&self_, static_cast<png_uint_32>(limits.max_side))) return Error();
    width_ = static_cast<int>(png_get_image_width(self_.png, self_.info));
    height_ = static_cast<int>(png_get_image_height(self_.png, self_.info));
    const double bits = png_get_bit_depth(self_.png, self_.info) * png_get_channels(self_.png, self_.info);
    const absl::Status size = CheckSize(width_, height_, bytes.size(), kMostDeflate * 8 / bits, limits);
    return size.ok() ? size : Annotate(size, "PNG");
  }

  bool can_shrink() const override { return false; }

  absl::Status Decode(const DecodeRequest& request, Pixels* out) override {
    int channels = 0;
    if (!Prepare(&self_, request.gray, &channels)) return Error();
    if (png_get_interlace_type(self_.png, self_.info) != PNG_INTERLACE_NONE) {
      out->Reset({0, 0, width_, height_}, channels);
      std::vector<png_bytep> rows(static_cast<size_t>(height_));
      for (int y = 0; y < height_; ++y) rows[static_cast<size_t>(y)] = out->row(y);
      if (!ReadInterlaced(&self_, rows.data())) return Error();
    } else {
      out->Reset({0, request.window.y, width_, request.window.height}, channels);
      if (!ReadRows(&self_, request.window.y, request.window.height, height_, out->row(0),
                    out->row_bytes())) {
        return Error();
      }
    }
    if (request.gray && channels == 4) out->MakeGray();
    return absl::OkStatus();
  }

 private:
  absl::Status Error() const { return DataError(absl::StrCat("PNG: ", self_.message)); }

  Png self_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageDecoder>> OpenPng(absl::string_view bytes, const ImageLimits& limits) {
  auto decoder = std::make_unique<PngDecoder>();
  RETURN_IF_ERROR(decoder->Open(bytes, limits));
  return std::unique_ptr<ImageDecoder>(std::move(decoder));
}

}  // namespace lockstep::data
