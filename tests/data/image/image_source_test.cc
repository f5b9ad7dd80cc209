#include "runtime/data/image/image_source.h"

#include <cstring>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/batcher.h"
#include "tests/data/image/golden_images.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const FeatureSpec kLabel = {.name = "label", .type = {DType::kI64, Shape()}, .classes = 100};

class ImageSourceTest : public ::testing::Test {
 protected:
  // A record for each picture, labelled by its number.
  void Write(const std::vector<std::string>& pictures) {
    std::vector<std::string> records;
    for (size_t i = 0; i < pictures.size(); ++i) {
      records.push_back(ExampleMaker()
                            .Bytes("image/encoded", pictures[i])
                            .Ints("label", {static_cast<int64_t>(i)})
                            .Serialize());
    }
    Put(&fs_, "a.tfrecord", FileOf(records));
  }
  absl::StatusOr<std::shared_ptr<const SampleSource>> Make(const std::string& feature = "image/encoded") {
    ImageOptions options = {.height = 16, .width = 16, .random_crop = RandomBox{}, .flip = true};
    options.jitter = {0.3f, 0.3f, 0.3f};
    return MakeImageSource(*Dataset::Open(&fs_, {"a.tfrecord"}), feature, options, kLabel);
  }
  void WriteAll() {
    std::vector<std::string> pictures;
    for (const std::string& name : GoldenPictureNames()) pictures.push_back(GoldenPicture(name));
    pictures.resize(14);
    Write(pictures);
  }
  testing::MemoryFileSystem fs_;
};

TEST_F(ImageSourceTest, HasAnImageAndALabel) {
  WriteAll();
  const auto source = Make();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 14);
  EXPECT_EQ((*source)->inputs()[0].name, "image");
  EXPECT_EQ((*source)->inputs()[0].type.ToString(), "F32[16, 16, 3]");
  EXPECT_EQ((*source)->inputs()[1].name, "label");
}

// What steps 0 .. 4 of a batch of 8 hold, decoded by `threads` threads in micro-batches of 8 / lanes /
// accumulate.
std::vector<float> Steps(const std::shared_ptr<const SampleSource>& source, int lanes, int accumulate,
                         int threads) {
  constexpr int kSteps = 5, kBatch = 8, kSample = 16 * 16 * 3;
  const BatchPlan plan{kBatch, lanes, accumulate};
  const Batcher batcher(source, Order(OrderKind::kShuffle, 1, source->size()), plan);
  std::vector<float> all(kSteps * kBatch * kSample);
  std::vector<std::thread> workers;
  const int per_step = lanes * accumulate, items = kSteps * per_step;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      Batch batch = batcher.MakeBatch();
      for (int item = t; item < items; item += threads) {
        const int64_t step = item / per_step, lane = item % per_step / accumulate, micro = item % accumulate;
        EXPECT_TRUE(batcher.Fill(step, static_cast<int>(lane), static_cast<int>(micro), &batch).ok());
        std::memcpy(all.data() + batch.positions()[0] * kSample, batch.input(0), batch.input_bytes(0));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  return all;
}

TEST_F(ImageSourceTest, ThreadsAndSplitsOfABatchChangeNothing) {
  WriteAll();
  const auto source = Make();
  ASSERT_TRUE(source.ok()) << source.status();
  const std::vector<float> alone = Steps(*source, 1, 1, 1);
  EXPECT_EQ(Steps(*source, 8, 1, 1), alone);
  EXPECT_EQ(Steps(*source, 2, 4, 3), alone);
  EXPECT_EQ(Steps(*source, 4, 2, 4), alone);
}

TEST_F(ImageSourceTest, EachEpochShowsAnotherView) {
  WriteAll();
  const auto source = Make();
  ASSERT_TRUE(source.ok());
  std::vector<float> a(16 * 16 * 3), b(16 * 16 * 3), c(16 * 16 * 3);
  int64_t label = 0;
  const auto decode = [&](int64_t position, std::vector<float>* out) {
    std::byte* outputs[] = {reinterpret_cast<std::byte*>(out->data()), reinterpret_cast<std::byte*>(&label)};
    EXPECT_TRUE((*source)->DecodeAt(3, position, outputs).ok());
    EXPECT_EQ(label, 3);
  };
  decode(3, &a);
  decode(3 + 14, &b);
  decode(3, &c);
  EXPECT_NE(a, b);
  EXPECT_EQ(a, c);
}

TEST_F(ImageSourceTest, DamageNamesFileRecordAndFeature) {
  const std::string picture = GoldenPicture("jpeg_420");
  Write({picture, picture.substr(0, 300), "no picture"});
  const auto source = Make();
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<float> image(16 * 16 * 3);
  int64_t label = 0;
  std::byte* outputs[] = {reinterpret_cast<std::byte*>(image.data()), reinterpret_cast<std::byte*>(&label)};
  const absl::Status cut = (*source)->Decode(1, outputs), other = (*source)->Decode(2, outputs);
  EXPECT_EQ(TroubleOf(cut), Trouble::kData);
  EXPECT_THAT(cut.message(), AllOf(HasSubstr("a.tfrecord, record 1: feature 'image/encoded': JPEG: ")));
  EXPECT_THAT(other.message(),
              HasSubstr("a.tfrecord, record 2: feature 'image/encoded': the 10 bytes are neither"));
}

TEST_F(ImageSourceTest, WrongNameIsToldAtOnce) {
  WriteAll();
  EXPECT_THAT(
      Make("image/encodet").status().message(),
      HasSubstr("a.tfrecord, record 0: there is no feature 'image/encodet'; did you mean 'image/encoded'?"));
}

}  // namespace
}  // namespace lockstep::data
