#include "runtime/data/image/image_transform.h"

#include <cmath>
#include <set>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"
#include "nlohmann/json.hpp"
#include "runtime/data/image/resample.h"
#include "tests/data/image/golden_images.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

ImageOptions Augmented(int channels = 3) {
  ImageOptions options = {.height = 24, .width = 20, .channels = channels, .random_crop = RandomBox{}};
  options.flip = true;
  options.jitter = {0.4f, 0.4f, 0.4f};
  options.mean.assign(channels, 0.45f);
  options.std.assign(channels, 0.225f);
  options.seed = 7;
  return options;
}

std::vector<float> Apply(const ImageOptions& options, const std::string& bytes, int64_t position) {
  const auto transform = ImageTransform::Create(options);
  EXPECT_TRUE(transform.ok()) << transform.status();
  ImageTransform::Scratch scratch;
  std::vector<float> out(static_cast<size_t>(options.height) * options.width * options.channels, -1e9f);
  const absl::Status status = transform->Apply(bytes, position, &scratch, out.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

std::vector<float> Resized(const Axis& x, const Axis& y, bool gray) {
  Pixels pixels;
  EXPECT_TRUE(DecodeWhole(GoldenPicture("png_rgb"), gray, {}, &pixels).ok());
  Taps x_taps, y_taps;
  x_taps.Compute(x);
  y_taps.Compute(y);
  std::vector<float> row, out(static_cast<size_t>(x.size) * y.size * pixels.channels());
  Resample(pixels, y_taps, x_taps, &row, out.data());
  return out;
}

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// Pillow computes these in float32 too; values go up to 255.
constexpr float kResizeTolerance = 1e-3f;

TEST(ResampleTest, IsPillowsBilinear) {
  const nlohmann::json boxes = {{"smaller", {3, 5, 60, 40, 20, 15}},
                                {"larger", {10, 7, 13, 11, 40, 33}},
                                {"same", {2, 1, 24, 24, 24, 24}},
                                {"whole", {0, 0, 67, 49, 32, 48}},
                                {"one_row", {5, 9, 40, 1, 17, 6}}};
  for (const auto& [name, box] : boxes.items()) {
    const auto axis = [&](int first, int length, int size) {
      return Axis{static_cast<double>(first), static_cast<double>(length) / size, first, first + length,
                  size};
    };
    const std::vector<float> got = Resized(axis(box[0], box[2], box[4]), axis(box[1], box[3], box[5]), true);
    EXPECT_LE(LargestDifference(got, GoldenImages().At("resized/png_rgb/" + name).Values()), kResizeTolerance)
        << name;
  }
}

TEST(ResampleTest, CentreCropIsResizeThenCut) {
  const Crop crop = CentreCrop(67, 49, 36, 32, 40);
  EXPECT_LE(LargestDifference(Resized(crop.x, crop.y, true), GoldenImages().At("centre/png_rgb").Values()),
            kResizeTolerance);
}

TEST(ResampleTest, WeightsAddUpToOneAndStayInside) {
  for (const Axis& axis : {Axis{0, 0.37, 0, 10, 27}, Axis{3.5, 2.9, 3, 40, 12}, Axis{7, 1, 7, 8, 1}}) {
    Taps taps;
    taps.Compute(axis);
    int begin = 0, end = 0;
    TouchedBy(axis, &begin, &end);
    for (int i = 0; i < axis.size; ++i) {
      EXPECT_GE(taps.first[i], std::max(begin, axis.low));
      EXPECT_LE(taps.first[i] + taps.count[i], std::min(end, axis.high));
      double sum = 0;
      for (int k = 0; k < taps.most; ++k) sum += taps.weights[i * taps.most + k];
      EXPECT_NEAR(sum, 1, 1e-6);
    }
  }
}

TEST(CropTest, ExpAndLogAreRight) {
  for (const double x : {1e-3, 0.5, 0.75, 1.0, 1.3333334, 2.0, 1000.0}) {
    EXPECT_NEAR(PortableLog(x), std::log(x), 1e-14 * (1 + std::abs(std::log(x)))) << x;
    EXPECT_NEAR(PortableExp(PortableLog(x)) / x, 1, 1e-14) << x;
  }
}

TEST(CropTest, RandomBoxesAreInsideAndAsWide) {
  double areas = 0;
  std::set<std::pair<int, int>> corners;
  for (int64_t position = 0; position < 2000; ++position) {
    const Crop crop = RandomCrop(500, 375, 224, 224, RandomBox{}, 99, position);
    const int w = crop.x.high - crop.x.low, h = crop.y.high - crop.y.low;
    ASSERT_GE(crop.x.low, 0);
    ASSERT_GE(crop.y.low, 0);
    ASSERT_LE(crop.x.high, 500);
    ASSERT_LE(crop.y.high, 375);
    ASSERT_GE(static_cast<double>(w) / h, 0.75 * 0.98);
    ASSERT_LE(static_cast<double>(w) / h, 4.0 / 3 * 1.02);
    areas += static_cast<double>(w) * h / (500 * 375);
    corners.insert({crop.x.low, crop.y.low});
  }
  EXPECT_GT(areas / 2000, 0.40);  // 0.54 were every box of every area possible
  EXPECT_LT(areas / 2000, 0.56);
  EXPECT_GT(corners.size(), 1800u);
  const Crop thin = RandomCrop(1000, 3, 8, 8, {.min_area = 0.9, .max_area = 1}, 99, 0);
  EXPECT_EQ(thin.x.high - thin.x.low, 4);  // no box fits: the largest of an allowed aspect
  EXPECT_EQ(thin.y.high, 3);
}

TEST(CropTest, HalfAreMirrored) {
  int mirrored = 0;
  for (int64_t position = 0; position < 2000; ++position) mirrored += DrawFlip(5, position);
  EXPECT_NEAR(mirrored, 1000, 100);
}

TEST(ImageTransformTest, FlipMirrorsColumnsAndNothingElse) {
  ImageOptions options = {.height = 9, .width = 11};
  options.seed = 3;
  const std::string bytes = GoldenPicture("jpeg_420");
  const std::vector<float> plain = Apply(options, bytes, 0);
  options.flip = true;
  int flipped = 0;
  for (int64_t position = 0; position < 8; ++position) {
    const std::vector<float> got = Apply(options, bytes, position);
    if (got == plain) continue;
    ++flipped;
    for (int y = 0; y < 9; ++y) {
      for (int x = 0; x < 11; ++x) {
        for (int c = 0; c < 3; ++c) {
          ASSERT_EQ(got[(y * 11 + x) * 3 + c], plain[(y * 11 + 10 - x) * 3 + c]);
        }
      }
    }
  }
  EXPECT_GT(flipped, 0);
  EXPECT_LT(flipped, 8);
}

TEST(ImageTransformTest, NormalisesAndJittersByTheDefinition) {
  constexpr int kCount = 5 * 7;  // no multiple of any vector
  const Jitter jitter = {1.3f, 0.7f, 1.2f};
  Normalisation normalisation;
  normalisation.scale = {0.01f, 0.02f, 0.03f};
  normalisation.offset = {-1, 0, 1};
  std::vector<float> pixels(4 * kCount + kPixelSlack), out(3 * kCount + 1, 77.0f);
  std::vector<std::array<double, 3>> want(kCount);
  double mean = 0;
  const auto cut = [](double v) { return std::min(255.0, std::max(0.0, v)); };
  const auto luma = [](const std::array<double, 3>& v) { return 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2]; };
  for (int i = 0; i < kCount; ++i) {
    for (int c = 0; c < 3; ++c) {
      pixels[4 * i + c] = static_cast<float>((i * 53 + c * 91) % 256);
      want[i][c] = cut(1.3 * pixels[4 * i + c]);
    }
    mean += std::floor(luma(want[i]) + 0.5) / kCount;
  }
  FinishRgb(jitter, normalisation, kCount, pixels.data(), out.data());
  for (int i = 0; i < kCount; ++i) {
    for (double& v : want[i]) v = cut(mean + 0.7 * (v - mean));
    const double gray = luma(want[i]);
    for (int c = 0; c < 3; ++c) {
      const double v = cut(gray + 1.2 * (want[i][c] - gray)) * 0.01 * (c + 1) + (c - 1);
      EXPECT_NEAR(out[3 * i + c], v, 2e-4) << i << ", " << c;
    }
  }
  EXPECT_EQ(out[3 * kCount], 77.0f);  // nothing behind the end is touched
}

TEST(ImageTransformTest, PlainSampleIsThePictureNormalised) {
  ImageOptions options = {.height = 49, .width = 67};
  options.mean = {0.5f, 0.4f, 0.3f};
  options.std = {0.2f, 0.3f, 0.4f};
  const std::vector<float> got = Apply(options, GoldenPicture("png_rgb"), 0);
  const std::vector<int64_t> want = GoldenImages().At("pixels/png_rgb").Integers();
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], (want[i] / 255.0 - options.mean[i % 3]) / options.std[i % 3], 1e-5) << i;
  }
}

TEST(ImageTransformTest, PositionAndSeedDecide) {
  const std::string bytes = GoldenPicture("jpeg_420");
  const std::vector<float> base = Apply(Augmented(), bytes, 12);
  EXPECT_EQ(Apply(Augmented(), bytes, 12), base);
  EXPECT_NE(Apply(Augmented(), bytes, 13), base);
  ImageOptions other = Augmented();
  other.seed = 8;
  EXPECT_NE(Apply(other, bytes, 12), base);
}

TEST(ImageTransformTest, InstructionSetsAgreeToTheLastBit) {
  std::vector<std::string> names = {"jpeg_420", "jpeg_cmyk", "png_rgba"};
  for (const int channels : {1, 3}) {
    for (const std::string& name : names) {
      const std::string bytes = GoldenPicture(name);
      std::vector<std::vector<float>> best;
      for (int64_t position = 0; position < 5; ++position) {
        best.push_back(Apply(Augmented(channels), bytes, position));
      }
      for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        for (int64_t position = 0; position < 5; ++position) {
          EXPECT_EQ(Apply(Augmented(channels), bytes, position), best[position])
              << name << " with " << hwy::TargetName(target);
        }
      }
      hwy::SetSupportedTargetsForTest(0);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
  }
}

TEST(ImageTransformTest, OptionsOutOfRangeAreRefused) {
  ImageOptions options = {.height = 4, .width = 4, .channels = 2};
  EXPECT_THAT(ImageTransform::Create(options).status().message(), HasSubstr("[4, 4, 2]"));
  options = {.height = 4, .width = 6, .short_side = 5};
  EXPECT_THAT(ImageTransform::Create(options).status().message(), HasSubstr("short side of 5"));
  options = {.height = 4, .width = 4, .random_crop = RandomBox{.min_area = 0}};
  EXPECT_THAT(ImageTransform::Create(options).status().message(), HasSubstr("areas from 0 to 1"));
  options = {.height = 4, .width = 4, .jitter = {.contrast = 1.5f}};
  EXPECT_THAT(ImageTransform::Create(options).status().message(), HasSubstr("1.5 is not in [0, 1]"));
  options = {.height = 4, .width = 4, .mean = {0, 0}};
  EXPECT_THAT(ImageTransform::Create(options).status().message(), HasSubstr("2 means"));
}

}  // namespace
}  // namespace lockstep::data
