#include <algorithm>
#include <cmath>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {
namespace {

// The geometry of a pooling: x [N, H, W, C] and y [N, OH, OW, C].
struct Pooling {
  Window2d window;
  int64_t batch, height, width, channels, out_height, out_width;
  bool count_padding;

  Pooling(const OpSpec& spec, const Shape& x, const Shape& y)
      : batch(x[0]), height(x[1]), width(x[2]), channels(x[3]), out_height(y[1]), out_width(y[2]) {
    const auto& attributes = std::get<Pool2dAttributes>(spec.attributes);
    window = attributes.window;
    count_padding = attributes.count_padding;
  }

  // For each window in order: begin(element of y, number of places inside the image), then for each of these
  // places, row by row, visit(element of x, number of the place in the window), then end(element of y).
  template <typename Begin, typename Visit, typename End>
  void ForWindows(const Begin& begin, const Visit& visit, const End& end) const {
    for (int64_t pixel = 0; pixel < batch * out_height * out_width; ++pixel) {
      const int64_t n = pixel / (out_height * out_width), oh = pixel / out_width % out_height,
                    ow = pixel % out_width;
      const int64_t top = oh * window.stride_h - window.pad_top,
                    left = ow * window.stride_w - window.pad_left;
      const int64_t h_begin = std::max<int64_t>(0, -top), h_end = std::min(window.kernel_h, height - top);
      const int64_t w_begin = std::max<int64_t>(0, -left), w_end = std::min(window.kernel_w, width - left);
      begin(pixel * channels, (h_end - h_begin) * (w_end - w_begin));
      for (int64_t h = h_begin; h < h_end; ++h) {
        for (int64_t w = w_begin; w < w_end; ++w) {
          visit(((n * height + top + h) * width + left + w) * channels, h * window.kernel_w + w);
        }
      }
      end(pixel * channels);
    }
  }

  // Padding is less than the kernel and sizes round down, so every window has a place inside the image.
  float Share(int64_t places) const {
    return 1.0f / (count_padding ? window.kernel_h * window.kernel_w : places);
  }
};

}  // namespace

KernelOr MakeMaxPool2d(const OpSpec& spec) {
  const Pooling p(spec, spec.inputs[0].shape, spec.outputs[0].shape);
  ScratchPlan scratch;
  const size_t place_at = scratch.Take(p.channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    const float* x = In(args, 0);
    float *y = Out(args, 0), *places = At(args, place_at), *best = y;
    uint8_t* at = Out<uint8_t>(args, 1);
    bool fresh = true;
    p.ForWindows(
        [&](int64_t pixel, int64_t) {
          best = y + pixel;
          fresh = true;
        },
        [&](int64_t from, int64_t place) {
          if (!fresh) return TakeLarger(x + from, static_cast<float>(place), best, places, p.channels);
          std::copy_n(x + from, p.channels, best);
          std::fill_n(places, p.channels, static_cast<float>(place));
          fresh = false;
        },
        [&](int64_t pixel) {
          for (int64_t c = 0; c < p.channels; ++c) at[pixel + c] = static_cast<uint8_t>(places[c]);
        });
  });
}

KernelOr MakeMaxPool2dGrad(const OpSpec& spec) {
  const Pooling p(spec, spec.outputs[0].shape, spec.inputs[0].shape);
  const int64_t elements = spec.outputs[0].shape.NumElements();
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    float* dx = Out(args, 0);
    std::fill_n(dx, elements, 0.0f);
    const float* dy = In(args, 0);
    const uint8_t* at = In<uint8_t>(args, 1);
    p.ForWindows(
        [&](int64_t pixel, int64_t) {
          dy = In(args, 0) + pixel;
          at = In<uint8_t>(args, 1) + pixel;
        },
        [&](int64_t to, int64_t place) {
          for (int64_t c = 0; c < p.channels; ++c) dx[to + c] += at[c] == place ? dy[c] : 0.0f;
        },
        [](int64_t) {});
  });
}

KernelOr MakeAvgPool2d(const OpSpec& spec) {
  const Pooling p(spec, spec.inputs[0].shape, spec.outputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    float* sum = nullptr;
    float share = 0;
    p.ForWindows(
        [&](int64_t pixel, int64_t places) {
          sum = Out(args, 0) + pixel;
          share = p.Share(places);
          std::fill_n(sum, p.channels, 0.0f);
        },
        [&](int64_t from, int64_t) { AddTile(In(args, 0) + from, sum, p.channels); },
        [&](int64_t) { ScaleRow(sum, share, p.channels); });
  });
}

KernelOr MakeAvgPool2dGrad(const OpSpec& spec) {
  const Pooling p(spec, spec.outputs[0].shape, spec.inputs[0].shape);
  const int64_t elements = spec.outputs[0].shape.NumElements();
  ScratchPlan scratch;
  const size_t share_at = scratch.Take(p.channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    float *dx = Out(args, 0), *share = At(args, share_at);
    std::fill_n(dx, elements, 0.0f);
    p.ForWindows(
        [&](int64_t pixel, int64_t places) {
          std::copy_n(In(args, 0) + pixel, p.channels, share);
          ScaleRow(share, p.Share(places), p.channels);
        },
        [&](int64_t to, int64_t) { AddTile(share, dx + to, p.channels); }, [](int64_t) {});
  });
}

}  // namespace lockstep::kernels::cpu
