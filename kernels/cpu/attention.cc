// Scaled-dot-product attention by blocks of query rows: the scores of one block and head live in scratch,
// never those of all. Small matrix products go straight to the strided tensors.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {
namespace {

using onednn::Gemm;

constexpr int64_t kBlockRows = 64;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// A strided matrix of one head: rows are positions, the row has head_size elements.
struct Head {
  float* data;
  int64_t stride;
};

struct Geometry {
  AttentionAttributes a;
  int64_t batch, queries, keys;
  int64_t q_stride, kv_stride, width;  // elements between positions; width of y
  int64_t score_stride;                // of a block of scores
  float scale;
  int first;  // the first of q, k, v among the inputs
  DType mask_dtype = DType::kF32;

  Geometry(const OpSpec& spec, int first_input)
      : a(std::get<AttentionAttributes>(spec.attributes)), first(first_input) {
    const Shape& q = spec.inputs[first].shape;
    batch = q[0];
    queries = q[1];
    keys = a.packed ? queries : spec.inputs[first + 1].shape[1];
    q_stride = q[2];
    kv_stride = a.packed ? q_stride : a.key_heads * a.head_size;
    width = a.heads * a.head_size;
    score_stride = RoundUp(keys, 16);
    scale = a.scale != 0 ? a.scale : static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_size)));
    if (a.key_mask) mask_dtype = spec.inputs.back().dtype;
  }

  // Keys that query t of the sequence may see.
  int64_t Visible(int64_t t) const {
    return a.causal ? std::clamp<int64_t>(t + 1 + keys - queries, 0, keys) : keys;
  }

  // Heads of q (or dq), k and v (or their gradients) for sample b; tensors are those of a packed or split
  // set.
  template <typename Pointers>
  Head Q(const Pointers& tensors, int64_t b, int64_t h) const {
    return {Data(tensors[0]) + b * queries * q_stride + h * a.head_size, q_stride};
  }
  template <typename Pointers>
  Head K(const Pointers& tensors, int64_t b, int64_t h) const {
    if (a.packed) return {Q(tensors, b, a.heads + h).data, kv_stride};
    return {Data(tensors[1]) + b * keys * kv_stride + h * a.head_size, kv_stride};
  }
  template <typename Pointers>
  Head V(const Pointers& tensors, int64_t b, int64_t h) const {
    if (a.packed) return {Q(tensors, b, a.heads + a.key_heads + h).data, kv_stride};
    return {Data(tensors[2]) + b * keys * kv_stride + h * a.head_size, kv_stride};
  }
  Head Y(const void* tensor, int64_t b, int64_t h) const {
    return {Data(tensor) + b * queries * width + h * a.head_size, width};
  }

 private:
  static float* Data(const void* tensor) { return const_cast<float*>(static_cast<const float*>(tensor)); }
};

float* Row(const Head& head, int64_t t) { return head.data + t * head.stride; }

// The mask of sample b as numbers to add to scores.
void FillMask(const Geometry& g, const void* mask, int64_t b, float* out) {
  for (int64_t s = 0; s < g.keys; ++s) {
    const int64_t i = b * g.keys + s;
    out[s] = g.mask_dtype == DType::kF32                 ? static_cast<const float*>(mask)[i]
             : static_cast<const uint8_t*>(mask)[i] != 0 ? 0.0f
                                                         : kMinusInfinity;
  }
}

// scores [rows, visible] = scale q k^T + mask for queries t .. t + rows - 1; returns how many keys the block
// sees.
int64_t Scores(const Geometry& g, const Head& q, const Head& k, const float* mask, int64_t t, int64_t rows,
               float* scores) {
  const int64_t visible = g.Visible(t + rows - 1);
  if (visible == 0) return 0;
  Gemm({false, true, rows, visible, g.a.head_size}, g.scale, Row(q, t), q.stride, k.data, k.stride, 0, scores,
       g.score_stride);
  for (int64_t r = 0; mask != nullptr && r < rows; ++r) AddTile(mask, scores + r * g.score_stride, visible);
  return visible;
}

struct Forward {
  Geometry g;
  size_t scores_at = 0, mask_at = 0;

  void Run(const KernelArgs& args) const {
    float* mask = g.a.key_mask ? At(args, mask_at) : nullptr;
    const auto tensors = args.inputs.subspan(g.first);
    for (int64_t b = 0; b < g.batch; ++b) {
      if (mask != nullptr) FillMask(g, args.inputs.back(), b, mask);
      for (int64_t h = 0; h < g.a.heads; ++h) {
        const int64_t kv_head = h / (g.a.heads / g.a.key_heads);
        float* lse = Out(args, 1) + (b * g.a.heads + h) * g.queries;
        for (int64_t t = 0; t < g.queries; t += kBlockRows) {
          RunBlock(g.Q(tensors, b, h), g.K(tensors, b, kv_head), g.V(tensors, b, kv_head), mask, t,
                   std::min(kBlockRows, g.queries - t), At(args, scores_at), g.Y(args.outputs[0], b, h), lse);
        }
      }
    }
  }

  void RunBlock(const Head& q, const Head& k, const Head& v, const float* mask, int64_t t, int64_t rows,
                float* scores, const Head& y, float* lse) const {
    const int64_t size = g.a.head_size, visible = Scores(g, q, k, mask, t, rows, scores);
    float inverse[kBlockRows];
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * g.score_stride;
      const int64_t own = std::min(visible, g.Visible(t + r));
      const float max = MaxOf(row, own);
      if (max == kMinusInfinity) {  // nothing may be seen
        std::fill_n(row, visible, 0.0f);
        inverse[r] = 0;
        lse[t + r] = kMinusInfinity;
        continue;
      }
      const double sum = ExpRow(row, max, 1, row, own);
      std::fill(row + own, row + visible, 0.0f);
      inverse[r] = static_cast<float>(1 / sum);
      lse[t + r] = static_cast<float>(max + std::log(sum));
    }
    if (visible > 0) {
      Gemm({false, false, rows, size, visible}, 1, scores, g.score_stride, v.data, v.stride, 0, Row(y, t),
           y.stride);
    }
    for (int64_t r = 0; r < rows; ++r) {
      if (visible > 0) {
        ScaleRow(Row(y, t + r), inverse[r], size);
      } else {
        std::fill_n(Row(y, t + r), size, 0.0f);
      }
    }
  }
};

// With P = exp(scores - lse), delta = sum(dy y):  dv = P^T dy,  dP = dy v^T,  dS = scale P (dP - delta),  dq
// = dS k, dk = dS^T q   (arXiv:2205.14135, appendix B).
struct Backward {
  Geometry g;
  size_t p_at = 0, dp_at = 0, mask_at = 0;

  struct Heads {
    Head q, k, v, y, dy, dq, dk, dv;
    const float* lse;
  };

  void Run(const KernelArgs& args) const {
    float* mask = g.a.key_mask ? At(args, mask_at) : nullptr;
    const auto tensors = args.inputs.subspan(g.first);
    const int64_t group = g.a.heads / g.a.key_heads;
    const int64_t last_block = (g.queries - 1) / kBlockRows * kBlockRows;
    for (int64_t b = 0; b < g.batch; ++b) {
      if (mask != nullptr) FillMask(g, args.inputs.back(), b, mask);
      for (int64_t h = 0; h < g.a.heads; ++h) {
        const int64_t kv = h / group;
        const Heads heads = {g.Q(tensors, b, h),
                             g.K(tensors, b, kv),
                             g.V(tensors, b, kv),
                             g.Y(args.inputs[1], b, h),
                             g.Y(args.inputs[0], b, h),
                             g.Q(args.outputs, b, h),
                             g.K(args.outputs, b, kv),
                             g.V(args.outputs, b, kv),
                             In(args, 2) + (b * g.a.heads + h) * g.queries};
        // From the last block to the first: the last sees every key, so it may overwrite dk and dv.
        for (int64_t t = last_block; t >= 0; t -= kBlockRows) {
          const bool overwrite = h % group == 0 && t == last_block;
          RunBlock(heads, mask, t, std::min(kBlockRows, g.queries - t), overwrite ? 0 : 1, At(args, p_at),
                   At(args, dp_at));
        }
      }
    }
  }

  void RunBlock(const Heads& x, const float* mask, int64_t t, int64_t rows, float beta, float* p,
                float* dp) const {
    const int64_t size = g.a.head_size, stride = g.score_stride,
                  visible = Scores(g, x.q, x.k, mask, t, rows, p);
    if (visible == 0) {
      for (int64_t r = 0; r < rows; ++r) std::fill_n(Row(x.dq, t + r), size, 0.0f);
      return;
    }
    Gemm({false, true, rows, visible, size}, 1, Row(x.dy, t), x.dy.stride, x.v.data, x.v.stride, 0, dp,
         stride);
    for (int64_t r = 0; r < rows; ++r) {
      float *p_row = p + r * stride, *dp_row = dp + r * stride;
      const int64_t own = x.lse[t + r] == kMinusInfinity ? 0 : std::min(visible, g.Visible(t + r));
      const float delta = static_cast<float>(Dot(Row(x.dy, t + r), Row(x.y, t + r), size));
      ExpRow(p_row, x.lse[t + r], 1, p_row, own);
      ProbabilityGradRow(p_row, dp_row, delta, g.scale, dp_row, own);
      std::fill(p_row + own, p_row + visible, 0.0f);
      std::fill(dp_row + own, dp_row + visible, 0.0f);
    }
    Gemm({true, false, visible, size, rows}, 1, p, stride, Row(x.dy, t), x.dy.stride, beta, x.dv.data,
         x.dv.stride);
    Gemm({true, false, visible, size, rows}, 1, dp, stride, Row(x.q, t), x.q.stride, beta, x.dk.data,
         x.dk.stride);
    Gemm({false, false, rows, size, visible}, 1, dp, stride, x.k.data, x.k.stride, 0, Row(x.dq, t),
         x.dq.stride);
  }
};

}  // namespace

KernelOr MakeAttention(const OpSpec& spec) {
  Forward forward{Geometry(spec, 0)};
  ScratchPlan scratch;
  forward.scores_at = scratch.Take(std::min(kBlockRows, forward.g.queries) * forward.g.score_stride);
  forward.mask_at = scratch.Take(forward.g.keys);
  return MakeFunctionKernel(scratch.bytes(), [forward](const KernelArgs& args) { forward.Run(args); });
}

KernelOr MakeAttentionGrad(const OpSpec& spec) {
  Backward backward{Geometry(spec, 3)};
  const Geometry& g = backward.g;
  if (g.queries == 0 || g.keys == 0) {
    return absl::InvalidArgumentError(absl::StrCat(spec.ToString(), ": no queries or no keys"));
  }
  ScratchPlan scratch;
  backward.p_at = scratch.Take(std::min(kBlockRows, g.queries) * g.score_stride);
  backward.dp_at = scratch.Take(std::min(kBlockRows, g.queries) * g.score_stride);
  backward.mask_at = scratch.Take(g.keys);
  return MakeFunctionKernel(scratch.bytes(), [backward](const KernelArgs& args) { backward.Run(args); });
}

}  // namespace lockstep::kernels::cpu
