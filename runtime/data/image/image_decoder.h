// JPEG and PNG, from bytes that may be anything, to 8-bit gray or RGB.
//
// No bytes abort, exit or throw, and none decide how much memory is taken: a picture is refused where it
// claims more pixels than the limits say, or than its bytes can hold (every 64 pixels of a JPEG take a bit at
// least, and deflate shrinks at most 1032-fold). What the decoding libraries only warn of and then make up
// (data that end early, codes that do not exist) is an error here.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_DECODER_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_DECODER_H_

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/image/pixels.h"

namespace lockstep::data {

struct ImageLimits {
  int max_side = 32768;                         // pixels
  int64_t max_pixels = int64_t{1} << 26;        // width * height
  int64_t max_memory_bytes = int64_t{1} << 29;  // of the decoding library, for one picture
};

struct DecodeRequest {
  int shrink = 1;     // 1, 2, 4 or 8: the picture is taken at 1/shrink of its size, rounded up. PNG: only 1
  Window window;      // the part wanted of the shrunk picture; never empty, inside it
  bool gray = false;  // else RGBX
};

// One picture. Not thread-safe; borrows the bytes that it was opened with.
class ImageDecoder {
 public:
  // JPEG (baseline or progressive, Huffman-coded; gray, YCbCr, RGB, CMYK) or PNG (any), told apart by the
  // first bytes. Reads no further than the header. Error: DataError that says what is wrong.
  static absl::StatusOr<std::unique_ptr<ImageDecoder>> Open(absl::string_view bytes,
                                                            const ImageLimits& limits = {});
  virtual ~ImageDecoder() = default;

  int width() const { return width_; }  // pixels, before shrinking
  int height() const { return height_; }
  virtual bool can_shrink() const = 0;

  // Once: decodes at least request.window; `out->window()` says what is there, which may be more. The pixels
  // of the window do not depend on how large the window is. PNG: alpha is dropped, 16 bits are rounded to 8.
  // What lies behind the last row wanted is not looked at. Error: DataError; `out` is then undefined.
  virtual absl::Status Decode(const DecodeRequest& request, Pixels* out) = 0;

 protected:
  int width_ = 0, height_ = 0;
};

// The whole picture.
absl::Status DecodeWhole(absl::string_view bytes, bool gray, const ImageLimits& limits, Pixels* out);

// ---- For image_decoder.cc: the two formats.
absl::StatusOr<std::unique_ptr<ImageDecoder>> OpenJpeg(absl::string_view bytes, const ImageLimits& limits);
absl::StatusOr<std::unique_ptr<ImageDecoder>> OpenPng(absl::string_view bytes, const ImageLimits& limits);

// Error: a picture of width x height pixels is beyond the limits, or cannot be held by `size_bytes` bytes of
// which each stands for at most `most_pixels_a_byte`.
absl::Status CheckSize(int64_t width, int64_t height, size_t size_bytes, double most_pixels_a_byte,
                       const ImageLimits& limits);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_DECODER_H_
