// Manifests and safetensors files from anywhere: refused or read, never a crash, never memory by a mere
// claim.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/core/status.h"
#include "runtime/train/manifest.h"
#include "runtime/train/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

std::string SampleManifest() {
  Manifest manifest;
  manifest.step = 100;
  manifest.position = 6400;
  manifest.recipe_text = "lanes: 8\nseed: 1\n";
  manifest.counters["skipped"] = int64_t{3};
  manifest.counters["best"] = 0.975;
  manifest.counters["note"] = std::string("a\0b\"\xff", 5);
  manifest.metrics["loss"] = 0.25;
  manifest.files = {{"weights.safetensors", 4096, 0x12345678}};
  manifest.tensors = {{"fc.weight", TensorRole::kParameter, DType::kF32, {32, 64}, "weights.safetensors", 7},
                      {"scale", TensorRole::kEma, DType::kF32, {}, "weights.safetensors", 8}};
  return SerializeManifest(manifest);
}

TEST(CheckpointFuzzTest, Manifest) {
  const std::string sample = SampleManifest();
  ASSERT_TRUE(ParseManifest(sample, "sample").ok());
  testing::Fuzz("manifest", {sample, ""}, [](const std::string& input) {
    const absl::StatusOr<Manifest> manifest = ParseManifest(input, "input");
    if (!manifest.ok()) {
      EXPECT_NE(manifest.status().message().find("input"), absl::string_view::npos) << manifest.status();
      return;
    }
    // What was accepted can be written and read again, to the same text.
    const std::string text = SerializeManifest(*manifest);
    const absl::StatusOr<Manifest> again = ParseManifest(text, "again");
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << text;
    EXPECT_EQ(SerializeManifest(*again), text);
  });
}

std::string SampleSafetensors() {
  testing::MemoryFileSystem disk;
  std::vector<float> weight(12, 0.5f), bias(3, 1.0f);
  auto file = disk.Create("w");
  EXPECT_TRUE(file.ok());
  std::vector<NamedTensor> tensors(2);
  tensors[0].name = "fc.weight";
  tensors[0].shape = {3, 4};
  tensors[0].data = weight.data();
  tensors[1].name = "fc.bias";
  tensors[1].shape = {3};
  tensors[1].data = bias.data();
  EXPECT_TRUE(WriteSafetensors(file->get(), tensors, {{"format", "lockstep"}}).ok());
  EXPECT_TRUE((*file)->Close().ok());
  return *ReadWholeFile(&disk, "w");
}

TEST(CheckpointFuzzTest, Safetensors) {
  const std::string sample = SampleSafetensors();
  ASSERT_TRUE(ParseSafetensors(sample, "sample").ok());
  testing::Fuzz("safetensors", {sample}, [](const std::string& input) {
    const absl::StatusOr<SafetensorsView> view = ParseSafetensors(input, "input");
    if (!view.ok()) {
      EXPECT_EQ(TroubleOf(view.status()), Trouble::kData) << view.status();
      return;
    }
    // Every tensor lies inside the bytes; reading its ends would be seen by the sanitizers.
    unsigned sum = 0;
    for (const NamedTensor& tensor : view->tensors) {
      const auto* bytes = static_cast<const unsigned char*>(tensor.data);
      const size_t size_bytes = tensor.size_bytes();
      if (size_bytes == 0) continue;
      ASSERT_GE(bytes, reinterpret_cast<const unsigned char*>(input.data()));
      ASSERT_LE(bytes + size_bytes, reinterpret_cast<const unsigned char*>(input.data() + input.size()));
      sum += bytes[0] + bytes[size_bytes - 1];
    }
    EXPECT_LE(sum, 510u * view->tensors.size());
  });
}

}  // namespace
}  // namespace lockstep::train
