#include "runtime/data/image/make_image_records.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "tests/data/image/golden_images.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MakeImageRecordsTest : public ::testing::Test {
 protected:
  MakeImageRecordsTest() {
    for (const char* folder : {"in/dog", "in/cat", "in/.hidden"}) EXPECT_TRUE(fs_.CreateFolders(folder).ok());
    Put(&fs_, "in/dog/b.JPG", GoldenPicture("jpeg_420"));
    Put(&fs_, "in/dog/a.png", GoldenPicture("png_rgb"));
    Put(&fs_, "in/dog/notes.txt", "no picture");
    Put(&fs_, "in/cat/z.jpeg", GoldenPicture("jpeg_gray"));
    Put(&fs_, "in/.hidden/x.png", "junk");
  }
  absl::Status Make(FolderOptions options, int shards = 1) {
    options.input = "in";
    return MakeFromFolders(&fs_, options, {.out = "out/pets", .shards = shards}, out_);
  }
  std::vector<std::string> Names(const std::string& pattern) {
    std::vector<std::string> names;
    const auto dataset = *Dataset::Open(&fs_, {pattern});
    for (int64_t i = 0; i < dataset->size(); ++i) {
      records::Example example;
      const absl::string_view record = *dataset->Record(i);
      EXPECT_TRUE(example.ParseFromArray(record.data(), static_cast<int>(record.size())));
      const auto& features = example.features().feature();
      const std::string name = features.at("image/filename").bytes_list().value(0);
      EXPECT_EQ(features.at("image/encoded").bytes_list().value(0), *ReadWholeFile(&fs_, "in/" + name));
      const std::string text = features.at("image/class/text").bytes_list().value(0);
      EXPECT_EQ(text, name.substr(0, 3));
      EXPECT_EQ(features.at("image/class/label").int64_list().value(0), text == "dog" ? 1 : 0);
      names.push_back(name);
    }
    return names;
  }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

TEST_F(MakeImageRecordsTest, ClassesAndFilesComeInTheOrderOfTheirNames) {
  ASSERT_TRUE(Make({}, 2).ok());
  EXPECT_THAT(Names("out/pets-*.tfrecord"), ElementsAre("cat/z.jpeg", "dog/a.png", "dog/b.JPG"));
  EXPECT_THAT(Names("out/pets-00001-of-00002.tfrecord"), ElementsAre("dog/b.JPG"));
  EXPECT_EQ(*ReadWholeFile(&fs_, "out/pets-classes.txt"), "cat\ndog\n");
  EXPECT_THAT(out_.str(), HasSubstr("passed over 1 that are not .jpg, .jpeg or .png"));
}

TEST_F(MakeImageRecordsTest, ShuffleIsAFunctionOfItsSeed) {
  std::vector<std::vector<std::string>> orders;
  for (const uint64_t seed : {1, 1, 2, 3, 4, 5}) {
    ASSERT_TRUE(Make({.shuffle = seed}).ok());
    orders.push_back(Names("out/pets-*.tfrecord"));
    EXPECT_EQ(orders.back().size(), 3u);
  }
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_TRUE(orders[2] != orders[0] || orders[3] != orders[0] || orders[4] != orders[0]);
}

TEST_F(MakeImageRecordsTest, EveryKthIsHeldOut) {
  ASSERT_TRUE(Make({.test_every = 2}).ok());
  EXPECT_THAT(Names("out/pets-test-*.tfrecord"), ElementsAre("cat/z.jpeg", "dog/b.JPG"));
  EXPECT_THAT(Names("out/pets-train-*.tfrecord"), ElementsAre("dog/a.png"));
}

TEST_F(MakeImageRecordsTest, WhatIsNoPictureIsNamed) {
  Put(&fs_, "in/dog/c.png", "not really");
  EXPECT_THAT(Make({}).message(), HasSubstr("in/dog/c.png: the 10 bytes are neither a JPEG nor a PNG"));
  ASSERT_TRUE(fs_.Delete("in/dog/c.png").ok());
  ASSERT_TRUE(fs_.Delete("in/cat/z.jpeg").ok());
  EXPECT_THAT(Make({}).message(), HasSubstr("in/cat has no .jpg, .jpeg or .png file"));
  EXPECT_THAT(Make({}, 9).message(), HasSubstr("in/cat has no"));
}

}  // namespace
}  // namespace lockstep::data
