#include <cmath>
#include <limits>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/ids.h"
#include "kernels/cpu/rows.h"

namespace lockstep::kernels::cpu {
namespace {

struct Labelled {
  int64_t rows, columns;
  DType label_dtype;

  explicit Labelled(const OpSpec& spec)
      : rows(Rows(spec.inputs[0].shape)),
        columns(Columns(spec.inputs[0].shape)),
        label_dtype(spec.inputs[1].dtype) {}

  int64_t LabelAt(const KernelArgs& args, int64_t row) const {
    return IdAt(args.inputs[1], label_dtype, row);
  }
  bool IsValid(int64_t label) const { return label >= 0 && label < columns; }
};

void PutSum(const KernelArgs& args, double sum) {
  double* out = Out<double>(args, 0);
  *out = args.accumulate ? *out + sum : sum;
}

}  // namespace

KernelOr MakeCrossEntropy(const OpSpec& spec) {
  const Labelled shape(spec);
  return MakeFunctionKernel(0, [shape](const KernelArgs& args) {
    const float* weights = In(args, 2);
    float* lse = Out(args, 1);
    InvalidCounter invalid(Out<int64_t>(args, 2));
    double sum = 0;
    for (int64_t r = 0; r < shape.rows; ++r) {
      const float* x = In(args, 0) + r * shape.columns;
      lse[r] = 0;
      if (weights[r] == 0) continue;
      const int64_t label = shape.LabelAt(args, r);
      const float max = MaxOf(x, shape.columns);
      // A row of nothing but -inf has no distribution; its loss becomes NaN here, which the loop reports.
      const double log_sum = max + std::log(ExpRow(x, max, 1, nullptr, shape.columns));
      lse[r] = static_cast<float>(log_sum);
      if (!shape.IsValid(label)) {
        invalid.Count(r);
        continue;
      }
      sum += weights[r] * (log_sum - x[label]);
    }
    PutSum(args, sum);
  });
}

KernelOr MakeCrossEntropyGrad(const OpSpec& spec) {
  const Labelled shape(spec);
  return MakeFunctionKernel(0, [shape](const KernelArgs& args) {
    const float *weights = In(args, 2), *lse = In(args, 3), dloss = *In(args, 4);
    for (int64_t r = 0; r < shape.rows; ++r) {
      const float* x = In(args, 0) + r * shape.columns;
      float* dx = Out(args, 0) + r * shape.columns;
      const int64_t label = weights[r] == 0 ? -1 : shape.LabelAt(args, r);
      if (!shape.IsValid(label)) {
        std::fill_n(dx, shape.columns, 0.0f);
        continue;
      }
      const float factor = weights[r] * dloss;
      ExpRow(x, lse[r], factor, dx, shape.columns);
      dx[label] -= factor;
    }
  });
}

KernelOr MakeMeanSquaredError(const OpSpec& spec) {
  const int64_t rows = Rows(spec.inputs[0].shape), columns = Columns(spec.inputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float weight = In(args, 2)[r];
      if (weight == 0) continue;
      sum +=
          weight * SquaredDistance(In(args, 0) + r * columns, In(args, 1) + r * columns, columns) / columns;
    }
    PutSum(args, sum);
  });
}

KernelOr MakeMeanSquaredErrorGrad(const OpSpec& spec) {
  const int64_t rows = Rows(spec.inputs[0].shape), columns = Columns(spec.inputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    const float dloss = *In(args, 3);
    for (int64_t r = 0; r < rows; ++r) {
      const float weight = In(args, 2)[r];
      float* dx = Out(args, 0) + r * columns;
      if (weight == 0) {
        std::fill_n(dx, columns, 0.0f);
        continue;
      }
      ScaledDifference(In(args, 0) + r * columns, In(args, 1) + r * columns, 2 * weight * dloss / columns, dx,
                       columns);
    }
  });
}

KernelOr MakeAccuracy(const OpSpec& spec) {
  const Labelled shape(spec);
  return MakeFunctionKernel(0, [shape](const KernelArgs& args) {
    double hits = 0;
    for (int64_t r = 0; r < shape.rows; ++r) {
      const float *x = In(args, 0) + r * shape.columns, weight = In(args, 2)[r];
      const int64_t label = shape.LabelAt(args, r);
      if (weight == 0 || !shape.IsValid(label)) continue;
      const float max = MaxOf(x, shape.columns);
      int64_t first = 0;
      while (first < label && x[first] != max) ++first;
      if (first == label && x[label] == max) hits += weight;
    }
    PutSum(args, hits);
  });
}

}  // namespace lockstep::kernels::cpu
