#include "kernels/cpu/onednn.h"

#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::kernels::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto kF32 = memory::data_type::f32;

// The engine is a handle of the library's; making one is costly and it is immutable, so there is one a
// process.
const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::primitive_attr UserScratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// A view of the caller's memory; oneDNN takes no const.
memory View(const memory::desc& desc, const void* data) {
  return memory(desc, Engine(), const_cast<void*>(data));
}

size_t PaddedBytes(const memory::desc& desc) { return RoundUp(desc.get_size(), kAlignmentBytes); }

absl::Status Refused(absl::string_view what, const dnnl::error& error) {
  return absl::InvalidArgumentError(absl::StrCat("oneDNN refuses ", what, ": ", error.what()));
}

// Version 3 dropped the operation descriptors: the primitive descriptors take the engine first, then the same
// arguments.
#if DNNL_VERSION_MAJOR >= 3
template <typename Primitive, typename... Args>
typename Primitive::primitive_desc Describe(const dnnl::primitive_attr& attributes, const Args&... args) {
  return typename Primitive::primitive_desc(Engine(), args..., attributes);
}
template <typename Primitive, typename Hint, typename... Args>
typename Primitive::primitive_desc DescribeGrad(const dnnl::primitive_attr& attributes, const Hint& hint,
                                                const Args&... args) {
  return typename Primitive::primitive_desc(Engine(), args..., hint, attributes);
}
#else
template <typename Primitive, typename... Args>
typename Primitive::primitive_desc Describe(const dnnl::primitive_attr& attributes, const Args&... args) {
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes, Engine());
}
template <typename Primitive, typename Hint, typename... Args>
typename Primitive::primitive_desc DescribeGrad(const dnnl::primitive_attr& attributes, const Hint& hint,
                                                const Args&... args) {
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes, Engine(), hint);
}
#endif

}  // namespace

void Gemm(const GemmShape& shape, float alpha, const float* a, int64_t a_stride, const float* b,
          int64_t b_stride, float beta, float* c, int64_t c_stride) {
  // It can fail only for want of memory or for negative sizes, which the callers have ruled out.
  dnnl_sgemm(shape.transpose_a ? 'T' : 'N', shape.transpose_b ? 'T' : 'N', shape.m, shape.n, shape.k, alpha,
             a, a_stride, b, b_stride, beta, c, c_stride);
}

struct MatMul::Impl {
  memory::desc x, w, y, plain_w, scratchpad;
  dnnl::matmul primitive;
  dnnl::reorder pack;  // packed weights only
};

absl::StatusOr<MatMul> MatMul::Make(int64_t m, int64_t n, int64_t k, bool transpose_w, bool packed) {
  try {
    const memory::desc plain({k, n}, kF32, transpose_w ? Tag::ba : Tag::ab);
    const memory::desc wanted = packed ? memory::desc({k, n}, kF32, Tag::any) : plain;
    const auto desc = Describe<dnnl::matmul>(UserScratchpad(), memory::desc({m, k}, kF32, Tag::ab), wanted,
                                             memory::desc({m, n}, kF32, Tag::ab));
    auto impl = std::make_shared<Impl>();
    impl->x = desc.src_desc();
    impl->w = desc.weights_desc();
    impl->y = desc.dst_desc();
    impl->plain_w = plain;
    impl->scratchpad = desc.scratchpad_desc();
    impl->primitive = dnnl::matmul(desc);
    if (packed) {
      impl->pack =
          dnnl::reorder(dnnl::reorder::primitive_desc(Engine(), plain, Engine(), impl->w, UserScratchpad()));
    }
    MatMul result;
    result.impl_ = std::move(impl);
    return result;
  } catch (const dnnl::error& error) {
    return Refused(absl::StrCat("a matrix product of ", m, "x", k, " and ", k, "x", n), error);
  }
}

size_t MatMul::scratch_bytes() const { return PaddedBytes(impl_->scratchpad); }
size_t MatMul::packed_bytes() const { return PaddedBytes(impl_->w); }

void MatMul::Pack(const float* w, void* packed) const {
  dnnl::stream stream(Engine());
  memory from = View(impl_->plain_w, w), to = View(impl_->w, packed);
  impl_->pack.execute(stream, from, to);
}

void MatMul::Run(const float* x, const void* w, float* y, std::byte* scratch) const {
  dnnl::stream stream(Engine());
  impl_->primitive.execute(stream, {{DNNL_ARG_SRC, View(impl_->x, x)},
                                    {DNNL_ARG_WEIGHTS, View(impl_->w, w)},
                                    {DNNL_ARG_DST, View(impl_->y, y)},
                                    {DNNL_ARG_SCRATCHPAD, View(impl_->scratchpad, scratch)}});
}

struct Convolution::Impl {
  ConvolutionPass pass;
  bool bias = false;
  memory::desc x, w, b, y, plain_w, scratchpad;
  std::string implementation;
  dnnl::primitive primitive;
  bool repack = false;
  dnnl::reorder reorder;  // plain -> packed weights, or packed -> plain for the weight gradient
  size_t packed_bytes = 0;
};

namespace {

// The arguments of a convolution as oneDNN wants them: NCHW order of dimensions, whatever the layout in
// memory.
struct ConvolutionArguments {
  memory::desc x, w, plain_w, b, y;
  memory::dims stride, dilation, pad_begin, pad_end;
};

ConvolutionArguments Arguments(const ConvolutionShape& shape) {
  const Window2d& window = shape.window;
  const int64_t groups = shape.groups, out = shape.w[0], in = shape.w[1], kh = shape.w[2], kw = shape.w[3];
  const auto image = [](const Shape& s) { return memory::desc({s[0], s[3], s[1], s[2]}, kF32, Tag::nhwc); };
  const memory::dims weights =
      groups == 1 ? memory::dims{out, in, kh, kw} : memory::dims{groups, out / groups, in, kh, kw};
  return {image(shape.x),
          memory::desc(weights, kF32, Tag::any),
          memory::desc(weights, kF32, groups == 1 ? Tag::oihw : Tag::goihw),
          memory::desc({out}, kF32, Tag::x),
          image(shape.y),
          {window.stride_h, window.stride_w},
          {window.dilation_h - 1, window.dilation_w - 1},
          {window.pad_top, window.pad_left},
          {window.pad_bottom, window.pad_right}};
}

}  // namespace

absl::StatusOr<Convolution> Convolution::Make(ConvolutionPass pass, const ConvolutionShape& shape) {
  try {
    const ConvolutionArguments a = Arguments(shape);
    const auto direct = dnnl::algorithm::convolution_direct;
    const auto attributes = UserScratchpad();
    const bool bias = shape.bias && pass != ConvolutionPass::kInputGrad;
    auto impl = std::make_shared<Impl>();
    const auto take = [&](const auto& desc, const memory::desc& packed_w) {
      impl->w = packed_w;
      impl->scratchpad = desc.scratchpad_desc();
      impl->implementation = desc.impl_info_str();
      impl->primitive = dnnl::primitive(desc.get());
    };
    using Forward = dnnl::convolution_forward;
    const auto training = dnnl::prop_kind::forward_training;
    const auto forward = bias && pass == ConvolutionPass::kForward
                             ? Describe<Forward>(attributes, training, direct, a.x, a.w, a.b, a.y, a.stride,
                                                 a.dilation, a.pad_begin, a.pad_end)
                             : Describe<Forward>(attributes, training, direct, a.x, a.w, a.y, a.stride,
                                                 a.dilation, a.pad_begin, a.pad_end);
    if (pass == ConvolutionPass::kForward) {
      take(forward, forward.weights_desc());
    } else if (pass == ConvolutionPass::kInputGrad) {
      const auto desc = DescribeGrad<dnnl::convolution_backward_data>(
          attributes, forward, direct, a.x, a.w, a.y, a.stride, a.dilation, a.pad_begin, a.pad_end);
      take(desc, desc.weights_desc());
    } else {
      using Grad = dnnl::convolution_backward_weights;
      const auto desc = bias ? DescribeGrad<Grad>(attributes, forward, direct, a.x, a.w, a.b, a.y, a.stride,
                                                  a.dilation, a.pad_begin, a.pad_end)
                             : DescribeGrad<Grad>(attributes, forward, direct, a.x, a.w, a.y, a.stride,
                                                  a.dilation, a.pad_begin, a.pad_end);
      take(desc, desc.diff_weights_desc());
    }
    impl->pass = pass;
    impl->bias = bias;
    impl->x = a.x;
    impl->b = a.b;
    impl->y = a.y;
    impl->plain_w = a.plain_w;
    impl->repack = impl->w != a.plain_w;
    if (impl->repack) {
      const bool unpack = pass == ConvolutionPass::kWeightGrad;
      impl->packed_bytes = PaddedBytes(impl->w);
      impl->reorder = dnnl::reorder(dnnl::reorder::primitive_desc(
          Engine(), unpack ? impl->w : a.plain_w, Engine(), unpack ? a.plain_w : impl->w, attributes));
    }
    Convolution result;
    result.impl_ = std::move(impl);
    return result;
  } catch (const dnnl::error& error) {
    return Refused(absl::StrCat("a convolution of ", shape.x.ToString(), " by ", shape.w.ToString()), error);
  }
}

const char* Convolution::implementation() const { return impl_->implementation.c_str(); }

size_t Convolution::scratch_bytes() const { return impl_->packed_bytes + PaddedBytes(impl_->scratchpad); }

void Convolution::Run(float* x, float* w, float* b, float* y, std::byte* scratch) const {
  const Impl& impl = *impl_;
  dnnl::stream stream(Engine());
  const bool input_grad = impl.pass == ConvolutionPass::kInputGrad,
             weight_grad = impl.pass == ConvolutionPass::kWeightGrad;
  memory plain_w = View(impl.plain_w, w);
  memory packed_w = impl.repack ? View(impl.w, scratch) : plain_w;
  if (impl.repack && !weight_grad) impl.reorder.execute(stream, plain_w, packed_w);
  std::unordered_map<int, memory> args = {
      {input_grad ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, View(impl.x, x)},
      {weight_grad ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, packed_w},
      {impl.pass == ConvolutionPass::kForward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, View(impl.y, y)},
      {DNNL_ARG_SCRATCHPAD, View(impl.scratchpad, scratch + impl.packed_bytes)}};
  if (impl.bias) args.insert({weight_grad ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, View(impl.b, b)});
  impl.primitive.execute(stream, args);
  if (impl.repack && weight_grad) impl.reorder.execute(stream, packed_w, plain_w);
}

}  // namespace lockstep::kernels::onednn
