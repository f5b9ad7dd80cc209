#include "runtime/train/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "runtime/core/hash.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

Manifest Sample() {
  Manifest manifest = SampleState(100).manifest;
  manifest.train_seconds = 0.1;
  manifest.generation = 2;
  manifest.metrics["nothing"] = std::nan("");
  manifest.files = {{"model.safetensors", 1234, 0xdeadbeef}};
  manifest.tensors = {
      {"fc.weight", TensorRole::kParameter, DType::kF32, {2, 300}, "model.safetensors", 0xcafef00d},
      {"scalar", TensorRole::kEma, DType::kI64, {}, "model.safetensors", 0}};
  return manifest;
}

// `text` with its check line made right again after an edit.
std::string Rechecked(std::string text) {
  text.resize(text.rfind("# crc32c"));
  return text + absl::StrFormat("# crc32c of all bytes above: %08x\n", Crc32c(0, text.data(), text.size()));
}

TEST(Manifest, ReadsWhatItWrote) {
  const Manifest manifest = Sample();
  const auto read = ParseManifest(SerializeManifest(manifest), "m");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->step, 100);
  EXPECT_EQ(read->position, 6400);
  EXPECT_EQ(read->generation, 2);
  EXPECT_EQ(read->recipe_text, manifest.recipe_text);
  EXPECT_EQ(read->train_seconds, 0.1);
  EXPECT_EQ(read->counters, manifest.counters);
  EXPECT_EQ(read->metrics.at("loss"), manifest.metrics.at("loss"));
  EXPECT_TRUE(std::isnan(read->metrics.at("nothing")));
  ASSERT_EQ(read->files.size(), 1u);
  EXPECT_EQ(read->files[0].size_bytes, 1234u);
  EXPECT_EQ(read->files[0].header_crc32c, 0xdeadbeefu);
  ASSERT_EQ(read->tensors.size(), 2u);
  EXPECT_EQ(read->tensors[0].shape, Shape({2, 300}));
  EXPECT_EQ(read->tensors[1].role, TensorRole::kEma);
  EXPECT_EQ(read->tensors[1].dtype, DType::kI64);
  EXPECT_EQ(SerializeManifest(*read), SerializeManifest(manifest));
}

TEST(Manifest, EveryTruncationAndEveryFlippedBitIsNoticed) {
  const std::string text = SerializeManifest(Sample());
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(ParseManifest(text.substr(0, size), "m").ok()) << size;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      EXPECT_FALSE(ParseManifest(flipped, "m").ok()) << "byte " << at << " bit " << bit;
    }
  }
}

TEST(Manifest, ANewerFormatSaysWhatToDo) {
  Manifest manifest = Sample();
  manifest.format_version = kCheckpointFormatVersion + 1;
  manifest.build_id = "future-7";
  // Also when the newer format has fields that this one does not know.
  const std::string text = Rechecked(absl::StrCat("hologram { depth: 3 }\n", SerializeManifest(manifest)));
  const absl::Status status = ParseManifest(text, "m").status();
  EXPECT_TRUE(IsNewerFormat(status));
  EXPECT_EQ(TroubleOf(status), Trouble::kCheckpoint);
  EXPECT_THAT(std::string(status.message()), HasSubstr("future-7"));
}

TEST(Manifest, MalformedTextNamesTheLine) {
  const std::string text =
      Rechecked(absl::StrReplaceAll(SerializeManifest(Sample()), {{"position: 6400", "position: x"}}));
  EXPECT_THAT(std::string(ParseManifest(text, "m").status().message()), HasSubstr("line "));
}

TEST(Manifest, ATensorOfAnUnknownTypeIsNamed) {
  const std::string text =
      Rechecked(absl::StrReplaceAll(SerializeManifest(Sample()), {{"\"F32\"", "\"F31\""}}));
  EXPECT_THAT(std::string(ParseManifest(text, "m").status().message()), HasSubstr("fc.weight"));
}

TEST(Manifest, RandomTextNeverCrashes) {
  std::string text = SerializeManifest(Sample());
  for (size_t at = 0; at + 1 < text.size(); at += 3) {
    std::string edited = text;
    edited.replace(at, 2, "{ [");
    if (edited.rfind("# crc32c") != std::string::npos) (void)ParseManifest(Rechecked(edited), "m");
  }
  const std::string deep = std::string(100'000, '{') + "\n# crc32c";
  EXPECT_FALSE(ParseManifest(Rechecked("counters " + deep), "m").ok());
}

}  // namespace
}  // namespace lockstep::train
