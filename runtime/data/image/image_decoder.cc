#include "runtime/data/image/image_decoder.h"

#include "absl/strings/match.h"

namespace lockstep::data {

void Pixels::MakeGray() {
  const uint8_t* from = row(0);
  uint8_t* to = row(0);  // never overtakes `from`
  const size_t pixels = static_cast<size_t>(window_.width) * static_cast<size_t>(window_.height);
  for (size_t i = 0; i < pixels; ++i, from += 4) {
    *to++ = static_cast<uint8_t>((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + 32768u) >> 16);
  }
  channels_ = 1;
}

absl::StatusOr<std::unique_ptr<ImageDecoder>> ImageDecoder::Open(absl::string_view bytes,
                                                                 const ImageLimits& limits) {
  if (absl::StartsWith(bytes, "\xff\xd8\xff")) return OpenJpeg(bytes, limits);
  if (absl::StartsWith(bytes, "\x89PNG\r\n\x1a\n")) return OpenPng(bytes, limits);
  if (bytes.empty()) return DataError("the picture has no bytes");
  return DataError(absl::StrCat("the ", bytes.size(), " bytes are neither a JPEG nor a PNG picture"));
}

absl::Status DecodeWhole(absl::string_view bytes, bool gray, const ImageLimits& limits, Pixels* out) {
  ASSIGN_OR_RETURN(auto decoder, ImageDecoder::Open(bytes, limits));
  return decoder->Decode({.window = {0, 0, decoder->width(), decoder->height()}, .gray = gray}, out);
}

absl::Status CheckSize(int64_t width, int64_t height, size_t size_bytes, double most_pixels_a_byte,
                       const ImageLimits& limits) {
  if (width < 1 || height < 1) {
    return DataError(absl::StrCat("the picture is ", width, " x ", height, " pixels: it is empty"));
  }
  if (width > limits.max_side || height > limits.max_side || width * height > limits.max_pixels) {
    return DataError(absl::StrCat("the picture claims ", width, " x ", height, " pixels; at most ",
                                  limits.max_pixels, ", and ", limits.max_side, " a side, are read"));
  }
  if (static_cast<double>(width) * static_cast<double>(height) >
      most_pixels_a_byte * static_cast<double>(size_bytes)) {
    return DataError(absl::StrCat("the picture claims ", width, " x ", height, " pixels, more than its ",
                                  size_bytes, " bytes can hold"));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
