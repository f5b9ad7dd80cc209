// Speed of each operator at the shapes of the benchmark models, on one thread: GFLOP/s beside the peak of a
// large matrix product, GB/s (tensors read and written, once each) beside the speed of a copy. Best of
// several runs.
//
//   kernels_bench [pattern]      e.g. kernels_bench 'gpt10m*|resnet18*'
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/optimizer.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/names.h"
#include "runtime/core/rng.h"
#include "runtime/core/thread.h"

namespace lockstep::kernels {
namespace {

double BestSeconds(const std::function<void()>& run) {
  run();
  double best = 1e30, total = 0;
  for (int i = 0; i < 200 && (i < 5 || total < 0.3); ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

// A spec with its buffers.
class Bench {
 public:
  Bench(OpKind kind, OpAttributes attributes, std::vector<TensorType> inputs)
      : spec_{kind, std::move(attributes), std::move(inputs), {}} {
    auto outputs = InferOutputs(spec_);
    if (!outputs.ok()) {
      Fail(outputs.status());
      return;
    }
    spec_.outputs = *outputs;
    auto kernel = MakeKernel(Device::kCpu, spec_);
    if (!kernel.ok()) {
      Fail(kernel.status());
      return;
    }
    kernel_ = *std::move(kernel);
    for (const TensorType& type : spec_.inputs) in_.push_back(Allocate(type));
    for (const TensorType& type : spec_.outputs) out_.push_back(Allocate(type));
    scratch_ = AlignedBytes(kernel_->scratch_bytes());
  }

  double Seconds() {
    if (kernel_ == nullptr) return 0;
    const std::vector<const void*> in(in_.begin(), in_.end());
    const RunContext context = {1, positions_};
    return BestSeconds([&] { kernel_->Run({in, out_, scratch_.data(), false, &context}); });
  }

  double Bytes() const {
    double bytes = 0;
    for (const auto& buffer : buffers_) bytes += buffer.size_bytes();
    return bytes;
  }
  size_t scratch_bytes() const { return kernel_ ? kernel_->scratch_bytes() : 0; }

 private:
  void Fail(const absl::Status& status) { std::printf("%s\n", std::string(status.message()).c_str()); }

  void* Allocate(const TensorType& type) {
    buffers_.emplace_back(type.size_bytes());
    if (type.dtype == DType::kF32) {
      auto* data = reinterpret_cast<float*>(buffers_.back().data());
      FillUniform(buffers_.size(), 0.1f, 1, {data, static_cast<size_t>(type.shape.NumElements())});
    }
    return buffers_.back().data();
  }

  OpSpec spec_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<AlignedBytes> buffers_;
  std::vector<void*> in_, out_;
  AlignedBytes scratch_;
  std::vector<int64_t> positions_ = {0};
};

TensorType F32(Shape shape) { return {DType::kF32, shape}; }

class Report {
 public:
  explicit Report(std::string pattern) : pattern_(std::move(pattern)) {
    peak_ = 2.0 * 2048 * 2048 * 2048 /
            Bench(OpKind::kMatMul, MatMulAttributes{}, {F32({2048, 2048}), F32({2048, 2048})}).Seconds();
    const size_t bytes = 64 << 20;
    AlignedBytes from(bytes), to(bytes);
    std::memset(from.data(), 1, bytes);
    copy_ = 2.0 * bytes / BestSeconds([&] { std::memcpy(to.data(), from.data(), bytes); });
    std::printf("matrix product %.1f GFLOP/s, copy %.1f GB/s (read and written)\n", peak_ * 1e-9,
                copy_ * 1e-9);
    std::printf("%-34s %10s %10s %7s %10s\n", "operator", "ms", "rate", "share", "scratch");
  }

  void Flops(const std::string& name, double flops, const std::function<Bench()>& make) {
    Run(name, flops, make);
  }
  void Memory(const std::string& name, const std::function<Bench()>& make) { Run(name, 0, make); }
  void MemoryOf(const std::string& name, double bytes, const std::function<void()>& run) {
    if (Wanted(name)) Print(name, BestSeconds(run), 0, bytes, 0);
  }
  bool Wanted(const std::string& name) const { return pattern_.empty() || MatchesPattern(name, pattern_); }

 private:
  void Run(const std::string& name, double flops, const std::function<Bench()>& make) {
    if (!Wanted(name)) return;
    Bench bench = make();
    Print(name, bench.Seconds(), flops, bench.Bytes(), bench.scratch_bytes());
  }

  void Print(const std::string& name, double seconds, double flops, double bytes, double scratch) const {
    const double rate = (flops > 0 ? flops : bytes) / seconds;
    std::printf("%-34s %10.3f %5.1f %s %5.0f %% %7.1f MB\n", name.c_str(), seconds * 1e3, rate * 1e-9,
                flops > 0 ? "GF/s" : "GB/s", 100 * rate / (flops > 0 ? peak_ : copy_), scratch * 1e-6);
    std::fflush(stdout);
  }

  std::string pattern_;
  double peak_, copy_;
};

uint16_t Load(Program& p, uint16_t input) { return p.Append({.op = ProgramOp::kLoad, .a = input}); }

// y = activation(x w^T + bias), with the sum kept for the backward pass.
LinearAttributes BiasAnd(ProgramOp activation) {
  LinearAttributes attributes;
  Program& p = attributes.epilogue;
  const uint16_t result = p.Append({.op = ProgramOp::kResult}), bias = Load(p, 0);
  const uint16_t sum = p.Append({.op = ProgramOp::kAdd, .a = result, .b = bias});
  p.outputs = {p.Append({.op = activation, .a = sum}), sum};
  return attributes;
}

// y = x w^T + bias [+ residual]
LinearAttributes Bias(bool residual) {
  LinearAttributes attributes;
  Program& p = attributes.epilogue;
  uint16_t sum = p.Append({.op = ProgramOp::kResult});
  for (uint16_t i = 0; i < (residual ? 2 : 1); ++i) {
    const uint16_t load = Load(p, i);
    sum = p.Append({.op = ProgramOp::kAdd, .a = sum, .b = load});
  }
  p.outputs = {sum};
  return attributes;
}

LinearAttributes Slope(ProgramOp gradient) {
  LinearAttributes attributes;
  Program& p = attributes.epilogue;
  const uint16_t x = Load(p, 0), result = p.Append({.op = ProgramOp::kResult});
  p.outputs = {p.Append({.op = gradient, .a = x, .b = result})};
  return attributes;
}

void Linear(Report& report, const std::string& name, int64_t rows, int64_t in, int64_t out) {
  const double flops = 2.0 * rows * in * out;
  const auto x = F32({rows, in}), w = F32({out, in}), y = F32({rows, out}), b = F32({out});
  report.Flops(name + " y", flops, [=] { return Bench(OpKind::kLinear, LinearAttributes{}, {x, w}); });
  report.Flops(name + " y+bias", flops, [=] { return Bench(OpKind::kLinear, Bias(false), {x, w, b}); });
  report.Flops(name + " dx", flops, [=] {
    return Bench(OpKind::kLinearInputGrad, LinearAttributes{}, {y, w});
  });
  report.Flops(name + " dw", flops, [=] {
    return Bench(OpKind::kLinearWeightGrad, WeightGradAttributes{}, {y, x});
  });
  report.Flops(name + " dw+db", flops, [=] {
    return Bench(OpKind::kLinearWeightGrad, WeightGradAttributes{true}, {y, x});
  });
}

void Transformer(Report& report, const std::string& model, int64_t batch, int64_t length, int64_t width,
                 int64_t heads, int64_t vocabulary) {
  const int64_t rows = batch * length;
  const auto x = F32({batch, length, width}), wide = F32({batch, length, 4 * width}), c = F32({width});
  const auto w_up = F32({4 * width, width}), w_down = F32({width, 4 * width}), c4 = F32({4 * width});
  const double flops = 2.0 * rows * width * 4 * width;
  Linear(report, model + " qkv", rows, width, 3 * width);
  Linear(report, model + " out", rows, width, width);
  Linear(report, model + " head", rows, width, vocabulary);
  report.Flops(model + " up+bias+gelu", flops, [=] {
    return Bench(OpKind::kLinear, BiasAnd(ProgramOp::kGeluTanh), {x, w_up, c4});
  });
  report.Flops(model + " down+bias+residual", flops, [=] {
    return Bench(OpKind::kLinear, Bias(true), {wide, w_down, c, x});
  });
  report.Flops(model + " down dx+gelu grad", flops, [=] {
    return Bench(OpKind::kLinearInputGrad, Slope(ProgramOp::kGeluTanhGrad), {x, w_down, wide});
  });
  report.Flops(model + " up dw+db", flops, [=] {
    return Bench(OpKind::kLinearWeightGrad, WeightGradAttributes{true}, {wide, x});
  });
  const AttentionAttributes attention = {heads, heads, width / heads, 0, true, true, false};
  const auto qkv = F32({batch, length, 3 * width}), lse = F32({batch, heads, length});
  const double pairs = static_cast<double>(batch) * length * (length + 1) / 2 * width;
  report.Flops(model + " attention", 4 * pairs, [=] { return Bench(OpKind::kAttention, attention, {qkv}); });
  report.Flops(model + " attention grad", 10 * pairs, [=] {
    return Bench(OpKind::kAttentionGrad, attention, {x, x, lse, qkv});
  });
  const auto stat = F32({batch, length});
  NormAttributes skip;
  skip.residual = true;
  report.Memory(model + " layer norm", [=] {
    return Bench(OpKind::kLayerNorm, NormAttributes{}, {x, c, c});
  });
  report.Memory(model + " layer norm grad+skip", [=] {
    return Bench(OpKind::kLayerNormGrad, skip, {x, x, c, stat, stat, x});
  });
  const auto logits = F32({rows, vocabulary}), row = F32({rows});
  const TensorType ids = {DType::kI32, {rows}};
  report.Memory(model + " cross entropy", [=] {
    return Bench(OpKind::kCrossEntropy, NoAttributes{}, {logits, ids, row});
  });
  report.Memory(model + " cross entropy grad", [=] {
    return Bench(OpKind::kCrossEntropyGrad, NoAttributes{}, {logits, ids, row, row, F32({})});
  });
  report.Memory(model + " embedding", [=] {
    return Bench(OpKind::kEmbedding, NoAttributes{}, {ids, F32({vocabulary, width})});
  });
}

void Convolution(Report& report, const std::string& name, int64_t size, int64_t in, int64_t out,
                 int64_t kernel, int64_t stride) {
  const int64_t batch = 64, pad = kernel / 2, small = (size + 2 * pad - kernel) / stride + 1;
  const Conv2dAttributes a = {
      {kernel, kernel, stride, stride, 1, 1, pad, pad, pad, pad}, 1, false, size, size};
  const auto x = F32({batch, size, size, in}), w = F32({out, in, kernel, kernel}),
             y = F32({batch, small, small, out});
  const double flops = 2.0 * batch * small * small * in * out * kernel * kernel;
  report.Flops(name + " y", flops, [=] { return Bench(OpKind::kConv2d, a, {x, w}); });
  if (in > 3) report.Flops(name + " dx", flops, [=] { return Bench(OpKind::kConv2dInputGrad, a, {y, w}); });
  report.Flops(name + " dw", flops, [=] { return Bench(OpKind::kConv2dWeightGrad, a, {y, x}); });
}

void BatchNorm(Report& report, const std::string& name, int64_t size, int64_t channels) {
  const auto x = F32({64, size, size, channels}), c = F32({channels});
  const NormAttributes relu = {1e-5f, true, false}, both = {1e-5f, true, true};
  report.Memory(name + " bn+relu", [=] { return Bench(OpKind::kBatchNorm, relu, {x, c, c}); });
  report.Memory(name + " bn+add+relu", [=] { return Bench(OpKind::kBatchNorm, both, {x, c, c, x}); });
  report.Memory(name + " bn+relu grad", [=] {
    return Bench(OpKind::kBatchNormGrad, relu, {x, x, x, c, c, c});
  });
  report.Memory(name + " bn+add+relu grad", [=] {
    return Bench(OpKind::kBatchNormGrad, both, {x, x, x, c, c, c});
  });
}

void Elementwise(Report& report) {
  const Shape full = {4096, 1536};
  const auto unary = [=](const Instruction& instruction) {
    Program p;
    Load(p, 0);
    p.outputs = {p.Append(instruction)};
    return Bench(OpKind::kElementwise, ProgramAttributes{p, full}, {F32(full)});
  };
  report.Memory("relu", [=] { return unary({.op = ProgramOp::kRelu}); });
  report.Memory("gelu tanh", [=] { return unary({.op = ProgramOp::kGeluTanh}); });
  report.Memory("gelu erf", [=] { return unary({.op = ProgramOp::kGeluErf}); });
  report.Memory("exp", [=] { return unary({.op = ProgramOp::kExp}); });
  report.Memory("tanh", [=] { return unary({.op = ProgramOp::kTanh}); });
  report.Memory("dropout", [=] { return unary({.op = ProgramOp::kDropout, .immediate = 0.1f}); });
  report.Memory("bias add", [=] {
    Program p;
    Load(p, 0);
    Load(p, 1);
    p.outputs = {p.Append({.op = ProgramOp::kAdd, .a = 0, .b = 1})};
    return Bench(OpKind::kElementwise, ProgramAttributes{p, full}, {F32(full), F32({1536})});
  });
  report.Memory("bias gradient", [=] {
    return Bench(OpKind::kReduceSum, ReduceAttributes{1, 4096, 1536, 1, {1536}}, {F32(full)});
  });
  report.Memory("global average pool", [=] {
    return Bench(OpKind::kReduceSum, ReduceAttributes{64, 256, 128, 1, {64, 128}}, {F32({64, 16, 16, 128})});
  });
  report.Memory("max pool 2x2", [=] {
    return Bench(OpKind::kMaxPool2d, Pool2dAttributes{{2, 2, 2, 2}}, {F32({64, 32, 32, 32})});
  });
}

void Optimizers(Report& report) {
  const size_t count = 8 << 20;
  AlignedBuffer<float> g(count), p(count), m(count), v(count);
  AlignedBuffer<double> sums(count / kNormChunk);
  const double bytes = count * sizeof(float);
  report.MemoryOf("adamw", 7 * bytes, [&] { AdamW({}, g.span(), p.span(), m.span(), v.span()); });
  report.MemoryOf("sgd momentum", 5 * bytes, [&] { Sgd({.momentum = 0.9}, g.span(), p.span(), m.span()); });
  report.MemoryOf("add into", 3 * bytes, [&] { AddInto(g.span(), p.span()); });
  report.MemoryOf("sum of squares", bytes, [&] { ChunkSumsOfSquares(g.span(), sums.span()); });
  report.MemoryOf("find non-finite", bytes, [&] { FindNonFinite(g.span()); });
}

void RunAll(const std::string& pattern) {
  Report report(pattern);
  Linear(report, "mlp 784-1024", 128, 784, 1024);
  Linear(report, "mlp 1024-1024", 128, 1024, 1024);
  Linear(report, "mlp 1024-10", 128, 1024, 10);
  Transformer(report, "gpt10m", 16, 256, 384, 6, 256);
  Transformer(report, "gpt2", 1, 512, 768, 12, 50304);
  Convolution(report, "resnet18 stem", 32, 3, 64, 3, 1);
  for (int64_t size = 32, channels = 64; channels <= 512; size /= 2, channels *= 2) {
    const std::string stage = "resnet18 " + std::to_string(channels);
    Convolution(report, stage + " 3x3", size, channels, channels, 3, 1);
    if (channels < 512) Convolution(report, stage + " 3x3/2", size, channels, 2 * channels, 3, 2);
    if (channels < 512) Convolution(report, stage + " 1x1/2", size, channels, 2 * channels, 1, 2);
    BatchNorm(report, stage, size, channels);
  }
  Elementwise(report);
  Optimizers(report);
}

}  // namespace
}  // namespace lockstep::kernels

int main(int argc, char** argv) {
  lockstep::PrepareLaneThread();
  lockstep::kernels::RunAll(argc > 1 ? argv[1] : "");
}
