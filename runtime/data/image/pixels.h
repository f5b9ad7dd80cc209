// Decoded pictures, or the part of one that was asked for.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_PIXELS_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_PIXELS_H_

#include <cstddef>
#include <cstdint>

#include "runtime/core/aligned_buffer.h"

namespace lockstep::data {

// A rectangle of whole pixels: columns x .. x + width - 1, rows y .. y + height - 1.
struct Window {
  int x = 0, y = 0, width = 0, height = 0;
};

// Rows of bytes, top to bottom: gray (1 byte a pixel) or RGBX (4 bytes; X means nothing, and makes a pixel
// one load). Reused from picture to picture: memory only grows. Not thread-safe.
class Pixels {
 public:
  // Contents are undefined afterwards. `window`: which part of the (shrunk) picture this is.
  void Reset(const Window& window, int channels) {
    window_ = window;
    channels_ = channels;
    const size_t needed = row_bytes() * static_cast<size_t>(window.height);
    if (bytes_.size_bytes() < needed) bytes_ = AlignedBytes(needed);
  }

  const Window& window() const { return window_; }
  int channels() const { return channels_; }  // 1 or 4
  size_t row_bytes() const { return static_cast<size_t>(window_.width) * static_cast<size_t>(channels_); }
  // `y` counts from the top of the window.
  uint8_t* row(int y) const {
    return reinterpret_cast<uint8_t*>(bytes_.data()) + static_cast<size_t>(y) * row_bytes();
  }

  // Luma in place: (19595 R + 38470 G + 7471 B + 32768) / 65536, the weights of ITU-R BT.601. From 4 channels
  // to 1.
  void MakeGray();

 private:
  Window window_;
  int channels_ = 1;
  AlignedBytes bytes_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_PIXELS_H_
