// Pictures from anywhere: an error that is the data's, or a sample; never a crash, and never much memory.
#include <cmath>

#include "gtest/gtest.h"
#include "runtime/data/image/image_transform.h"
#include "tests/data/image/golden_images.h"
#include "tests/fuzz/fuzz.h"

namespace lockstep::data {
namespace {

ImageTransform MakeTransform(int channels, bool random) {
  ImageOptions options = {.height = 9, .width = 13, .channels = channels, .short_side = 20};
  if (random) options.random_crop = RandomBox{};
  options.flip = true;
  options.jitter = {0.5f, 0.5f, 0.5f};
  options.limits.max_pixels = 1 << 20;
  options.limits.max_memory_bytes = 16 << 20;
  return *ImageTransform::Create(options);
}

TEST(ImageFuzzTest, AnyBytesAreRefusedOrDecoded) {
  std::vector<std::string> seeds;
  for (const std::string& name : GoldenPictureNames()) seeds.push_back(GoldenPicture(name));
  const std::vector<ImageTransform> transforms = {MakeTransform(3, true), MakeTransform(1, true),
                                                  MakeTransform(3, false)};
  ImageTransform::Scratch scratch;
  int64_t number = 0;
  testing::Fuzz("image", seeds, [&](const std::string& input) {
    const ImageTransform& transform = transforms[number++ % transforms.size()];
    std::vector<float> out(9 * 13 * transform.options().channels);
    const absl::Status status = transform.Apply(input, number, &scratch, out.data());
    if (!status.ok()) {
      EXPECT_EQ(TroubleOf(status), Trouble::kData) << status;
      return;
    }
    for (const float value : out) ASSERT_TRUE(value >= 0 && value <= 1.0001f) << value;
  });
}

}  // namespace
}  // namespace lockstep::data
