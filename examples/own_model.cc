// A model of one's own, in a page: the `lockstep` program with one more model, "two_paths", a small network
// that sees the image in two ways. examples/own_model.textproto trains it on the handwritten digits.
//
//   cmake_minimum_required(VERSION 3.25)
//   project(own_model CXX)
//   find_package(lockstep REQUIRED)
//   add_executable(own_model own_model.cc)
//   target_compile_features(own_model PRIVATE cxx_std_20)
//   target_link_libraries(own_model PRIVATE lockstep::launcher)
//
//   mpirun -np 2 ./own_model train examples/own_model.textproto --out RUN
#include "lockstep/builder.h"
#include "lockstep/main.h"
#include "lockstep/models.h"
#include "lockstep/params.h"

namespace {

using lockstep::Builder;
using lockstep::Params;
using lockstep::Tensor;

// Convolution, norm, activation: [H, W, C] -> [H, W, channels].
Tensor ConvBlock(Builder& b, Tensor x, int64_t channels) {
  return b.Relu(b.BatchNorm(b.Conv2d(x, {.channels = channels, .kernel = 3, .bias = false})));
}

// What is where: convolutions with residual connections, averaged over the image.
Tensor ImagePath(Builder& b, Tensor image, const Params& p) {
  auto scope = b.Scope("image_path");
  Tensor x = ConvBlock(b, image, p.Int("channels", 16));
  for (int64_t i = 0; i < p.Int("blocks", 2); ++i) {
    auto block = b.Scope("block", i);
    x = b.Add(x, ConvBlock(b, x, p.Int("channels", 16)));
  }
  return b.Flatten(b.MaxPool(x, {.size = 2}));
}

// How the rows follow each other: each row of pixels is a step of a sequence, and attends to the others.
Tensor RowPath(Builder& b, Tensor image, const Params& p) {
  auto scope = b.Scope("row_path");
  const lockstep::Dims size = b.shape(image);  // [height, width, 1]
  Tensor x = b.Linear(b.Reshape(image, {size[0], size[1]}), p.Int("width", 32));
  x = b.Positions(x);
  x = b.Add(x, b.SelfAttention(b.LayerNorm(x), {.heads = 4, .causal = false}));
  return b.Mean(x, 0);
}

void TwoPaths(Builder& b, const Params& p) {
  Tensor image = b.Input("image", lockstep::F32, {8, 8, 1});
  Tensor label = b.Input("label", lockstep::I64, {});
  Tensor features = b.Concat({ImagePath(b, image, p), RowPath(b, image, p)}, 0);
  features = b.Dropout(features, static_cast<float>(p.Number("dropout", 0.1)));
  Tensor logits = b.Linear(features, p.Int("classes", 10));
  b.Metric("accuracy", b.Accuracy(logits, label));
  b.Loss(b.CrossEntropy(logits, label));
}

}  // namespace

int main(int argc, char** argv) {
  lockstep::Models models;
  models.Add("two_paths", TwoPaths);
  return lockstep::Main(argc, argv, models);
}
