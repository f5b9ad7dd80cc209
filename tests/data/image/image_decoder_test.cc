#include "runtime/data/image/image_decoder.h"

#include <cstdlib>
#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/data/image/golden_images.h"

namespace lockstep::data {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

bool IsJpeg(const std::string& name) { return name.compare(0, 4, "jpeg") == 0; }

// The pixels of `window` as bytes of `channels` 1 or 3.
std::string Cut(const Pixels& pixels, const Window& window) {
  std::string out;
  const int step = pixels.channels();
  for (int y = 0; y < window.height; ++y) {
    const uint8_t* row = pixels.row(y + window.y - pixels.window().y) + (window.x - pixels.window().x) * step;
    for (int x = 0; x < window.width; ++x) {
      out.append(reinterpret_cast<const char*>(row + x * step), step == 4 ? 3 : 1);
    }
  }
  return out;
}

std::string WholeOrDie(const std::string& bytes, bool gray) {
  Pixels pixels;
  const absl::Status status = DecodeWhole(bytes, gray, {}, &pixels);
  EXPECT_TRUE(status.ok()) << status;
  return status.ok() ? Cut(pixels, pixels.window()) : "";
}

int LargestDifference(const std::string& a, const std::string& b) {
  int largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<uint8_t>(a[i]) - static_cast<uint8_t>(b[i])));
  }
  return largest;
}

TEST(ImageDecoderTest, PixelsAreThoseOfPillow) {
  const std::vector<std::string> names = GoldenPictureNames();
  ASSERT_GE(names.size(), 15u);
  for (const std::string& name : names) {
    const auto& golden = GoldenImages().At("pixels/" + name).bytes;
    const std::string want(reinterpret_cast<const char*>(golden.data()), golden.size());
    const std::string got = WholeOrDie(GoldenPicture(name), false);
    ASSERT_EQ(got.size(), want.size()) << name;
    // JPEG leaves a unit to the rounding of the inverse DCT and of CMYK; PNG leaves nothing.
    EXPECT_LE(LargestDifference(got, want), IsJpeg(name) ? 1 : 0) << name;
  }
}

TEST(ImageDecoderTest, GrayIsLuma) {
  for (const std::string& name : GoldenPictureNames()) {
    const std::string rgb = WholeOrDie(GoldenPicture(name), false),
                      gray = WholeOrDie(GoldenPicture(name), true);
    ASSERT_EQ(rgb.size(), 3 * gray.size()) << name;
    for (size_t i = 0; i < gray.size(); ++i) {
      const auto at = [&](size_t c) { return static_cast<uint8_t>(rgb[3 * i + c]); };
      const int luma = (19595 * at(0) + 38470 * at(1) + 7471 * at(2) + 32768) >> 16;
      // JPEG stores luma itself, whose way through RGB is cut off at 0 and 255.
      ASSERT_LE(std::abs(luma - static_cast<uint8_t>(gray[i])), IsJpeg(name) ? 40 : 0)
          << name << " pixel " << i;
    }
  }
}

TEST(ImageDecoderTest, WindowHasThePixelsOfTheWhole) {
  for (const std::string& name : GoldenPictureNames()) {
    const std::string bytes = GoldenPicture(name);
    for (const int shrink : {1, 2, 4}) {
      auto decoder = ImageDecoder::Open(bytes);
      ASSERT_TRUE(decoder.ok()) << decoder.status();
      if (shrink > 1 && !(*decoder)->can_shrink()) continue;
      const int width = ((*decoder)->width() + shrink - 1) / shrink;
      const int height = ((*decoder)->height() + shrink - 1) / shrink;
      Pixels whole, part;
      DecodeRequest request = {.shrink = shrink, .window = {0, 0, width, height}};
      ASSERT_TRUE((*decoder)->Decode(request, &whole).ok());
      for (int x = 0; x < width; x += 5) {
        for (int y = 0; y < height; y += 4) {
          const Window window = {x, y, std::min(width - x, 1 + x % 11), std::min(height - y, 1 + y % 23)};
          request.window = window;
          ASSERT_TRUE((*ImageDecoder::Open(bytes))->Decode(request, &part).ok());
          ASSERT_EQ(Cut(part, window), Cut(whole, window))
              << name << " 1/" << shrink << " at " << x << ", " << y;
        }
      }
    }
  }
}

TEST(ImageDecoderTest, EveryTruncationIsAnError) {
  for (const std::string& name : GoldenPictureNames()) {
    const std::string bytes = GoldenPicture(name);
    Pixels pixels;
    for (size_t size = 0; size < bytes.size(); ++size) {
      const absl::Status status = DecodeWhole(bytes.substr(0, size), false, {}, &pixels);
      ASSERT_FALSE(status.ok()) << name << " cut to " << size << " of " << bytes.size() << " bytes";
      ASSERT_EQ(TroubleOf(status), Trouble::kData);
    }
  }
}

TEST(ImageDecoderTest, EveryFlippedBitOfAPngIsAnErrorOrHarmless) {
  for (const std::string name : {"png_palette_alpha", "png_gray16"}) {
    const std::string bytes = GoldenPicture(name), want = WholeOrDie(bytes, false);
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      Pixels pixels;
      if (DecodeWhole(damaged, false, {}, &pixels).ok()) {
        ASSERT_EQ(Cut(pixels, pixels.window()), want) << name << " bit " << bit;
      }
    }
  }
}

// JPEG has no checksums: what can be noticed is, and nothing crashes (the records have checksums).
TEST(ImageDecoderTest, FlippedBitsOfAJpegNeverCrash) {
  int refused = 0;
  const std::string bytes = GoldenPicture("jpeg_progressive");
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    Pixels pixels;
    refused += !DecodeWhole(damaged, false, {}, &pixels).ok();
  }
  EXPECT_GT(refused, static_cast<int>(bytes.size()));
}

std::string JpegOfSize(const std::string& name, int width, int height) {
  std::string bytes = GoldenPicture(name);
  size_t at = bytes.find("\xff\xc0");
  if (at == std::string::npos) at = bytes.find("\xff\xc2");
  const char size[] = {static_cast<char>(height >> 8), static_cast<char>(height),
                       static_cast<char>(width >> 8), static_cast<char>(width)};
  return bytes.replace(at + 5, 4, size, 4);
}

TEST(ImageDecoderTest, SizesThatTheBytesCannotHoldAreRefused) {
  for (const char* name : {"jpeg_420", "jpeg_progressive"}) {
    EXPECT_THAT(ImageDecoder::Open(JpegOfSize(name, 32000, 2000)).status().message(),
                HasSubstr("JPEG: the picture claims 32000 x 2000 pixels, more than its"));
    EXPECT_THAT(ImageDecoder::Open(JpegOfSize(name, 65000, 1)).status().message(),
                HasSubstr("JPEG: the picture claims 65000 x 1 pixels; at most 67108864, and 32768 a side"));
  }
  EXPECT_THAT(ImageDecoder::Open(JpegOfSize("jpeg_420", 0, 8)).status().message(), HasSubstr("JPEG: "));
}

TEST(ImageDecoderTest, LibraryMemoryIsLimited) {
  ImageLimits limits;
  limits.max_memory_bytes = 20000;  // a progressive picture wants all its coefficients at once
  Pixels pixels;
  const absl::Status status = DecodeWhole(JpegOfSize("jpeg_progressive", 640, 480), false, limits, &pixels);
  EXPECT_THAT(status.message(), AnyOf(HasSubstr("Backing store"), HasSubstr("memory"))) << status;
}

TEST(ImageDecoderTest, OtherBytesAreNamed) {
  EXPECT_EQ(ImageDecoder::Open("").status().message(), "the picture has no bytes");
  EXPECT_EQ(ImageDecoder::Open("GIF89a...").status().message(),
            "the 9 bytes are neither a JPEG nor a PNG picture");
  EXPECT_THAT(ImageDecoder::Open("\xff\xd8\xff").status().message(), HasSubstr("JPEG: "));
  EXPECT_THAT(ImageDecoder::Open("\x89PNG\r\n\x1a\n").status().message(),
              HasSubstr("PNG: the data end too early"));
}

}  // namespace
}  // namespace lockstep::data
