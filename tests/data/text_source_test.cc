#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/sources.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TextSourceTest : public ::testing::Test {
 protected:
  // The text cut into records of `pieces`.
  absl::StatusOr<std::shared_ptr<const SampleSource>> Open(const std::vector<std::string>& pieces,
                                                           WindowOptions options) {
    std::vector<std::string> payloads;
    for (const std::string& piece : pieces)
      payloads.push_back(ExampleMaker().Bytes("text", piece).Serialize());
    Put(&fs_, "f", FileOf(payloads));
    return MakeTextSource(*Dataset::Open(&fs_, {"f"}), "text", options);
  }
  // "tokens|targets" of a sample.
  static std::string Window(const SampleSource& source, int64_t sample) {
    const size_t length = static_cast<size_t>(source.inputs()[0].type.shape[0]);
    std::vector<int32_t> tokens(length), targets(length);
    std::byte* const outputs[] = {reinterpret_cast<std::byte*>(tokens.data()),
                                  reinterpret_cast<std::byte*>(targets.data())};
    EXPECT_TRUE(source.Decode(sample, outputs).ok());
    return std::string(tokens.begin(), tokens.end()) + "|" + std::string(targets.begin(), targets.end());
  }
  testing::MemoryFileSystem fs_;
};

TEST_F(TextSourceTest, WindowsAndTheNextByte) {
  auto source = *Open({"abcdefghij"}, {.length = 3});
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(Window(*source, 0), "abc|bcd");
  EXPECT_EQ(Window(*source, 2), "ghi|hij");
  EXPECT_EQ(source->inputs()[0].name, "tokens");
  EXPECT_EQ(source->inputs()[1].name, "targets");
}

TEST_F(TextSourceTest, LastWindowNeedsItsLastTarget) {
  EXPECT_EQ((*Open({"abcdefghi"}, {.length = 3}))->size(), 2);
  EXPECT_EQ((*Open({"abcd"}, {.length = 3}))->size(), 1);
}

TEST_F(TextSourceTest, StrideBelowLengthOverlaps) {
  auto source = *Open({"abcdefg"}, {.length = 4, .stride = 1});
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(Window(*source, 1), "bcde|cdef");
}

TEST_F(TextSourceTest, RecordBordersDoNotShow) {
  auto whole = *Open({"abcdefghij"}, {.length = 4});
  auto cut = *Open({"a", "", "bc", "defghi", "", "j", ""}, {.length = 4});
  ASSERT_EQ(cut->size(), whole->size());
  for (int64_t i = 0; i < whole->size(); ++i) EXPECT_EQ(Window(*cut, i), Window(*whole, i));
  EXPECT_EQ(cut->Describe(1), "f, record 3, byte 1 of its text");
}

TEST_F(TextSourceTest, BytesAbove127StayPositive) {
  auto source = *Open({"\xff\xfe\xfd"}, {.length = 2});
  int32_t tokens[2], targets[2];
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(tokens), reinterpret_cast<std::byte*>(targets)};
  ASSERT_TRUE(source->Decode(0, outputs).ok());
  EXPECT_EQ(tokens[0], 255);
  EXPECT_EQ(targets[1], 253);
}

TEST_F(TextSourceTest, TooShortATextIsAnError) {
  const auto source = Open({"abc"}, {.length = 3});
  EXPECT_EQ(TroubleOf(source.status()), Trouble::kData);
  EXPECT_THAT(source.status().message(), AllOf(HasSubstr("3 bytes"), HasSubstr("length 3")));
  EXPECT_FALSE(Open({"", ""}, {.length = 1}).ok());
}

TEST_F(TextSourceTest, MissingFeatureNamesFileAndRecord) {
  Put(&fs_, "f",
      FileOf({ExampleMaker().Bytes("text", "ab").Serialize(), ExampleMaker().Bytes("txt", "c").Serialize()}));
  const auto source = MakeTextSource(*Dataset::Open(&fs_, {"f"}), "text", {.length = 1});
  EXPECT_THAT(source.status().message(), AllOf(HasSubstr("f, record 1"), HasSubstr("'text'")));
}

TEST_F(TextSourceTest, PlainFilesAreJoined) {
  Put(&fs_, "1.txt", "abc");
  Put(&fs_, "2.txt", "defg");
  auto source = *MakeTextFileSource(&fs_, {"*.txt"}, {.length = 3});
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(Window(*source, 1), "def|efg");
  EXPECT_EQ(source->fingerprint().size(), 64u);
}

TEST_F(TextSourceTest, ImpossibleWindowsAreConfigErrors) {
  EXPECT_EQ(TroubleOf(Open({"abc"}, {.length = 0}).status()), Trouble::kConfig);
  EXPECT_EQ(TroubleOf(Open({"abc"}, {.length = 1, .stride = -1}).status()), Trouble::kConfig);
}

}  // namespace
}  // namespace lockstep::data
