// Operators that only move elements: transpose, concat, slice and its gradient. They know sizes, not types.
#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {
namespace {

// One loop of a transpose: how far input and output move in a step, in elements.
struct Loop {
  int64_t count = 1, in_step = 0, out_step = 0;
};

using Loops = std::array<Loop, Shape::kMaxRank>;

// The loops of a transpose, outermost first in the output's order, with neighbours that stay neighbours
// merged.
int MakeLoops(const Shape& x, const std::vector<int>& permutation, Loops& loops) {
  std::array<int64_t, Shape::kMaxRank> in_steps{};
  int64_t step = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    in_steps[i] = step;
    step *= x[i];
  }
  int count = 0;
  for (int axis : permutation) {
    if (x[axis] == 1) continue;
    if (count > 0 && loops[count - 1].in_step == in_steps[axis] * x[axis]) {
      loops[count - 1] = {loops[count - 1].count * x[axis], in_steps[axis], 0};
    } else {
      loops[count++] = {x[axis], in_steps[axis], 0};
    }
  }
  if (count == 0) loops[count++] = {1, 1, 0};
  step = 1;
  for (int i = count - 1; i >= 0; --i) {
    loops[i].out_step = step;
    step *= loops[i].count;
  }
  return count;
}

// The two innermost loops: `row` is contiguous in the output, `column` in the input. By squares that fit the
// cache.
template <typename T>
void TransposeSquares(const T* in, const Loop& column, const Loop& row, T* out) {
  constexpr int64_t kSide = 16;
  for (int64_t c = 0; c < column.count; c += kSide) {
    for (int64_t r = 0; r < row.count; r += kSide) {
      const int64_t c_end = std::min(column.count, c + kSide), r_end = std::min(row.count, r + kSide);
      for (int64_t i = c; i < c_end; ++i) {
        for (int64_t j = r; j < r_end; ++j)
          out[i * column.out_step + j] = in[i * column.in_step + j * row.in_step];
      }
    }
  }
}

template <typename T>
void Transpose(const T* in, Loops loops, int count, T* out) {
  const Loop last = loops[count - 1];
  Loop column;
  if (last.in_step != 1) {  // take the loop that is contiguous in the input out of its place
    int place = 0;
    while (loops[place].in_step != 1) ++place;
    column = loops[place];
    std::copy(loops.begin() + place + 1, loops.begin() + count, loops.begin() + place);
    --count;
  }
  const int outer = count - 1;
  std::array<int64_t, Shape::kMaxRank> at{};
  while (true) {
    if (last.in_step == 1) {
      std::memcpy(out, in, last.count * sizeof(T));
    } else {
      TransposeSquares(in, column, last, out);
    }
    int i = outer - 1;
    for (; i >= 0; --i) {
      in += loops[i].in_step;
      out += loops[i].out_step;
      if (++at[i] < loops[i].count) break;
      in -= loops[i].in_step * loops[i].count;
      out -= loops[i].out_step * loops[i].count;
      at[i] = 0;
    }
    if (i < 0) return;
  }
}

// A tensor cut along one axis, as `outer` runs of bytes.
struct Runs {
  int64_t outer = 1;
  size_t bytes = 0;  // of a run: the axis and all after it
};

Runs RunsOf(const TensorType& type, int axis) {
  return {type.shape.Product(0, axis), type.shape.Product(axis, type.shape.rank()) * SizeOf(type.dtype)};
}

}  // namespace

KernelOr MakeTranspose(const OpSpec& spec) {
  Loops loops;
  const int count =
      MakeLoops(spec.inputs[0].shape, std::get<TransposeAttributes>(spec.attributes).permutation, loops);
  const size_t size = SizeOf(spec.inputs[0].dtype);
  if (spec.inputs[0].shape.NumElements() == 0) return MakeFunctionKernel(0, [](const KernelArgs&) {});
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    switch (size) {
      case 1:
        return Transpose(In<uint8_t>(args, 0), loops, count, Out<uint8_t>(args, 0));
      case 2:
        return Transpose(In<uint16_t>(args, 0), loops, count, Out<uint16_t>(args, 0));
      case 4:
        return Transpose(In<uint32_t>(args, 0), loops, count, Out<uint32_t>(args, 0));
      default:
        return Transpose(In<uint64_t>(args, 0), loops, count, Out<uint64_t>(args, 0));
    }
  });
}

KernelOr MakeConcat(const OpSpec& spec) {
  const int axis = std::get<AxisAttributes>(spec.attributes).axis;
  const Runs whole = RunsOf(spec.outputs[0], axis);
  std::vector<size_t> parts;
  for (const TensorType& input : spec.inputs) parts.push_back(RunsOf(input, axis).bytes);
  return MakeFunctionKernel(0, [whole, parts](const KernelArgs& args) {
    char* to = Out<char>(args, 0);
    for (int64_t i = 0; i < whole.outer; ++i) {
      for (size_t part = 0; part < parts.size(); ++part) {
        std::memcpy(to, In<char>(args, part) + i * parts[part], parts[part]);
        to += parts[part];
      }
    }
  });
}

KernelOr MakeSlice(const OpSpec& spec) {
  const auto a = std::get<SliceAttributes>(spec.attributes);
  const Runs from = RunsOf(spec.inputs[0], a.axis), to = RunsOf(spec.outputs[0], a.axis);
  const int64_t length = spec.inputs[0].shape[a.axis];
  const size_t skip = length == 0 ? 0 : from.bytes / length * a.begin;
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    for (int64_t i = 0; i < to.outer; ++i) {
      std::memcpy(Out<char>(args, 0) + i * to.bytes, In<char>(args, 0) + i * from.bytes + skip, to.bytes);
    }
  });
}

KernelOr MakeSliceGrad(const OpSpec& spec) {
  const auto a = std::get<SliceAttributes>(spec.attributes);
  const Runs part = RunsOf(spec.inputs[0], a.axis), whole = RunsOf(spec.outputs[0], a.axis);
  const int64_t part_count = part.bytes / sizeof(float), whole_count = whole.bytes / sizeof(float);
  const int64_t skip = a.input_size == 0 ? 0 : whole_count / a.input_size * a.begin;
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    for (int64_t i = 0; i < whole.outer; ++i) {
      const float* from = In(args, 0) + i * part_count;
      float* to = Out(args, 0) + i * whole_count;
      if (args.accumulate) {
        AddTile(from, to + skip, part_count);
        continue;
      }
      std::fill_n(to, skip, 0.0f);
      std::copy_n(from, part_count, to + skip);
      std::fill(to + skip + part_count, to + whole_count, 0.0f);
    }
  });
}

}  // namespace lockstep::kernels::cpu
