// Pictures from anywhere: an error that is the data's, or a sample; never a crash, and never much memory.
#include <string>
#include <vector>

#include "runtime/data/image/image_transform.h"
#include "tests/data/image/golden_images.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

data::ImageTransform MakeTransform(int channels, bool random) {
  data::ImageOptions options = {.height = 9, .width = 13, .channels = channels, .short_side = 20};
  if (random) options.random_crop = data::RandomBox{};
  options.flip = true;
  options.jitter = {0.5f, 0.5f, 0.5f};
  options.limits.max_pixels = 1 << 20;
  options.limits.max_memory_bytes = 16 << 20;
  return *data::ImageTransform::Create(options);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const std::string& name : data::GoldenPictureNames()) seeds.push_back(data::GoldenPicture(name));
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  static const auto* const transforms = new std::vector<data::ImageTransform>{
      testing::MakeTransform(3, true), testing::MakeTransform(1, true), testing::MakeTransform(3, false)};
  static auto* const scratch = new data::ImageTransform::Scratch;
  // By the size, so that an input alone is all that counts.
  const data::ImageTransform& transform = (*transforms)[size % transforms->size()];
  std::vector<float> out(9 * 13 * transform.options().channels);
  const absl::Status status =
      transform.Apply(testing::FuzzText(data, size), static_cast<int64_t>(size), scratch, out.data());
  if (!status.ok()) {
    testing::Require(TroubleOf(status) == Trouble::kData, "a bad picture is an error of the data",
                     status.ToString());
    return 0;
  }
  for (const float value : out) testing::Require(value >= 0 && value <= 1.0001f, "values lie in [0, 1]");
  testing::NoteReached();
  return 0;
}
