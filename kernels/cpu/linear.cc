// Matrix products: MatMul and the three passes of a linear layer. Which of oneDNN's ways serves which shape
// was chosen by measurement on an AVX-512 core (kernels/bench): see ChooseBlocks.
#include <algorithm>
#include <optional>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/tile_program.h"

namespace lockstep::kernels::cpu {
namespace {

// A long product is cut into blocks of rows, so that the epilogue finds its block in the second-level cache;
// then the weight is packed once for all blocks (2 % faster than leaving it plain from about 1000 rows).
// Below, one product with the weight as it is wins, since packing costs as much as it saves.
constexpr int64_t kLongRows = 1024, kBlockBytes = 400 << 10;

struct Blocks {
  int64_t rows;
  bool packed;
};

Blocks ChooseBlocks(int64_t rows, int64_t columns) {
  if (rows < kLongRows) return {rows, false};
  const int64_t fitting = kBlockBytes / 4 / std::max<int64_t>(columns, 1) / 32 * 32;
  return {std::clamp<int64_t>(fitting, 64, 256), true};
}

struct Product {
  int64_t rows = 0, columns = 0, inner = 0;
  bool transpose_w = false;
};

// y = x w as one call of sgemm, which is the fastest for products without an epilogue.
KernelOr MakePlainLinear(const Product& p) {
  return MakeFunctionKernel(0, [p](const KernelArgs& args) {
    onednn::Gemm({false, p.transpose_w, p.rows, p.columns, p.inner}, 1, In(args, 0), p.inner, In(args, 1),
                 p.transpose_w ? p.inner : p.columns, args.accumulate ? 1 : 0, Out(args, 0), p.columns);
  });
}

struct FusedLinear {
  Product product;
  Blocks blocks;
  onednn::MatMul block, rest;  // rest: the last, shorter block
  TileProgram epilogue;
  size_t packed_at = 0, rest_packed_at = 0, result_at = 0, program_at = 0, onednn_at = 0;

  void Run(const KernelArgs& args) const {
    const Product& p = product;
    const int64_t whole = p.rows / blocks.rows * blocks.rows;
    const void *w = args.inputs[1], *rest_w = w;
    if (blocks.packed) {
      block.Pack(In(args, 1), args.scratch + packed_at);
      w = args.scratch + packed_at;
    }
    if (blocks.packed && whole < p.rows) {
      rest.Pack(In(args, 1), args.scratch + rest_packed_at);
      rest_w = args.scratch + rest_packed_at;
    }
    float* result = At(args, result_at);
    const TileProgram::Tensors tensors = {args.inputs.data() + 2, result, args.outputs.data(), false,
                                          args.context};
    epilogue.Prepare(tensors, args.scratch + program_at);
    for (int64_t row = 0; row < p.rows; row += blocks.rows) {
      const bool last = row >= whole;
      (last ? rest : block)
          .Run(In(args, 0) + row * p.inner, last ? rest_w : w, result, args.scratch + onednn_at);
      epilogue.Run(tensors, row * p.columns, std::min(p.rows, row + blocks.rows) * p.columns,
                   args.scratch + program_at);
    }
  }
};

KernelOr MakeFusedLinear(const OpSpec& spec, const Product& p) {
  const Program& program = std::get<LinearAttributes>(spec.attributes).epilogue;
  const auto extra = absl::MakeConstSpan(spec.inputs).subspan(2);
  const Blocks blocks = ChooseBlocks(p.rows, p.columns);
  FusedLinear fused{p, blocks, {}, {}, {}};
  ASSIGN_OR_RETURN(fused.epilogue, TileProgram::Make(program, extra, spec.outputs[0].shape));
  ASSIGN_OR_RETURN(fused.block,
                   onednn::MatMul::Make(blocks.rows, p.columns, p.inner, p.transpose_w, blocks.packed));
  const int64_t rest = p.rows % blocks.rows;
  ASSIGN_OR_RETURN(fused.rest, onednn::MatMul::Make(rest > 0 ? rest : blocks.rows, p.columns, p.inner,
                                                    p.transpose_w, blocks.packed));
  ScratchPlan scratch;
  if (blocks.packed) fused.packed_at = scratch.TakeBytes(fused.block.packed_bytes());
  if (blocks.packed && rest > 0) fused.rest_packed_at = scratch.TakeBytes(fused.rest.packed_bytes());
  fused.result_at = scratch.Take(blocks.rows * p.columns);
  fused.program_at = scratch.TakeBytes(fused.epilogue.scratch_bytes());
  fused.onednn_at = scratch.TakeBytes(std::max(fused.block.scratch_bytes(), fused.rest.scratch_bytes()));
  return MakeFunctionKernel(scratch.bytes(), [fused](const KernelArgs& args) { fused.Run(args); });
}

// An empty product (no rows, or nothing to sum) is the business of the epilogue or of a zero alone.
bool IsEmpty(const Product& p) { return p.rows == 0 || p.columns == 0 || p.inner == 0; }

KernelOr MakeNothing(const OpSpec& spec) {
  std::vector<size_t> bytes;
  for (const TensorType& output : spec.outputs) bytes.push_back(output.size_bytes());
  return MakeFunctionKernel(0, [bytes](const KernelArgs& args) {
    for (size_t i = 0; i < bytes.size() && !args.accumulate; ++i)
      std::fill_n(Out<char>(args, i), bytes[i], 0);
  });
}

}  // namespace

KernelOr MakeLinear(const OpSpec& spec) {
  const bool forward = spec.kind == OpKind::kLinear;
  const Shape& w = spec.inputs[1].shape;
  const Product p = {Rows(spec.inputs[0].shape), w[forward ? 0 : 1], w[forward ? 1 : 0], forward};
  const bool fused = !std::get<LinearAttributes>(spec.attributes).epilogue.empty();
  if (IsEmpty(p)) {
    if (fused && p.inner == 0)
      return absl::InvalidArgumentError(absl::StrCat(spec.ToString(), ": nothing to multiply"));
    return MakeNothing(spec);
  }
  return fused ? MakeFusedLinear(spec, p) : MakePlainLinear(p);
}

KernelOr MakeLinearWeightGrad(const OpSpec& spec) {
  const int64_t rows = Rows(spec.inputs[0].shape);
  const int64_t out = Columns(spec.inputs[0].shape), in = Columns(spec.inputs[1].shape);
  const bool bias = spec.outputs.size() > 1;
  if (rows == 0 || in == 0 || out == 0) return MakeNothing(spec);
  const ColumnSums sums(rows, out);
  return MakeFunctionKernel(bias ? sums.scratch_bytes() : 0, [=](const KernelArgs& args) {
    onednn::Gemm({true, false, out, in, rows}, 1, In(args, 0), out, In(args, 1), in, args.accumulate ? 1 : 0,
                 Out(args, 0), in);
    if (bias) sums.Run(In(args, 0), 1.0f, args.accumulate, Out(args, 1), args.scratch);
  });
}

KernelOr MakeMatMul(const OpSpec& spec) {
  const auto attributes = std::get<MatMulAttributes>(spec.attributes);
  const Shape &a = spec.inputs[0].shape, &b = spec.inputs[1].shape, &y = spec.outputs[0].shape;
  const int64_t m = y[-2], n = y[-1], k = attributes.transpose_a ? a[-2] : a[-1];
  const int64_t count = y.Product(0, y.rank() - 2), b_step = b.rank() == 2 ? 0 : k * n;
  if (m == 0 || n == 0 || k == 0 || count == 0) return MakeNothing(spec);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    for (int64_t i = 0; i < count; ++i) {
      onednn::Gemm({attributes.transpose_a, attributes.transpose_b, m, n, k}, attributes.scale,
                   In(args, 0) + i * m * k, attributes.transpose_a ? m : k, In(args, 1) + i * b_step,
                   attributes.transpose_b ? k : n, args.accumulate ? 1 : 0, Out(args, 0) + i * m * n, n);
    }
  });
}

}  // namespace lockstep::kernels::cpu
