#include "runtime/data/npy.h"

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/make_npy.h"
#include "runtime/data/zip.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Golden(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(LOCKSTEP_SOURCE_DIR "/tests/testing/golden/" + name, std::ios::binary).rdbuf();
  return text.str();
}

// A .npy file with any header.
std::string Npy(const std::string& header, const std::string& elements, int version = 1) {
  std::string bytes("\x93NUMPY", 6);
  bytes += static_cast<char>(version);
  bytes += '\0';
  const auto length = static_cast<uint32_t>(header.size());
  bytes.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return bytes + header + elements;
}

std::string Header(const std::string& type, const std::string& shape, const std::string& order = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }      \n";
}

TEST(ParseNpyTest, WhatNumpyWrites) {
  const std::string bytes = Npy(Header("<i2", "(2, 3)"), std::string("\1\0\2\0\3\0\4\0\5\0\6\0", 12));
  for (const std::string& file : {bytes, Npy(Header("<i2", "(2, 3)"), bytes.substr(bytes.size() - 12), 2)}) {
    const auto array = ParseNpy("x", file);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->kind, 'i');
    EXPECT_EQ(array->item_bytes, 2);
    EXPECT_THAT(array->shape, ElementsAre(2, 3));
    EXPECT_EQ(array->row_elements(), 3);
    EXPECT_EQ(array->Row(1), absl::string_view("\4\0\5\0\6\0", 6));
  }
  EXPECT_THAT(ParseNpy("x", Npy("{\"shape\":(2L,),'descr':'|u1','fortran_order':True}", "ab"))->shape,
              ElementsAre(2));
  EXPECT_THAT(ParseNpy("x", Npy(Header("<f8", "(0, 7)"), ""))->shape, ElementsAre(0, 7));
}

TEST(ParseNpyTest, WhatIsRefused) {
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "no .npy file"},
      {"NUMPY and more", "no .npy file"},
      {Npy(Header("|u1", "(1,)"), "a", 4), "version 4"},
      {Npy(Header("|u1", "(1,)"), "a").substr(0, 40), "ends within its header"},
      {Npy("no dictionary", ""), "header is not understood"},
      {Npy("{'descr': '|u1', 'fortran_order': False}", "a"), "header is not understood"},
      {Npy(Header("|u1", "(1,)") + "more", "a"), "header is not understood"},
      {Npy(Header("|u1", "(-1,)"), "a"), "header is not understood"},
      {Npy(Header("|u1", "(99999999999999999999,)"), "a"), "header is not understood"},
      {Npy(Header("|O", "(1,)"), "a"), "type '|O'"},
      {Npy(Header(">i4", "(1,)"), "abcd"), "type '>i4'"},
      {Npy(Header("<c8", "(1,)"), "abcdefgh"), "type '<c8'"},
      {Npy(Header("<U2", "(1,)"), "abcdefgh"), "type '<U2'"},
      {Npy(Header("<i3", "(1,)"), "abc"), "type '<i3'"},
      {Npy(Header("|u1", "()"), "a"), "no dimension"},
      {Npy(Header("<i2", "(2, 2)", "True"), "abcdefgh"), "Fortran order"},
      {Npy(Header("<i8", "(4611686018427387904, 4)"), "abcdefgh"), "more elements"},
      {Npy(Header("<i8", "(3,)"), "abcdefgh"), "more elements"},
      {Npy(Header("<i2", "(3,)"), "abcdefgh"), "claims 6 bytes of elements, and 8 follow"},
  };
  for (const auto& one : cases) {
    const absl::Status status = ParseNpy("the array", one.bytes).status();
    EXPECT_THAT(status.message(), HasSubstr(one.message));
    EXPECT_THAT(status.message(), HasSubstr("the array"));
    EXPECT_EQ(TroubleOf(status), Trouble::kData);
  }
}

// Whatever bytes come, there is an answer, and no view leaves what is there (AddressSanitizer watches).
TEST(ParseNpyTest, EveryCutAndEveryFlippedBit) {
  const std::string bytes = Npy(Header("<i2", "(2, 3)"), std::string(12, 'x'));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(ParseNpy("x", std::string(bytes, 0, size)).ok());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const auto array = ParseNpy("x", damaged);
    if (array.ok() && array->rows() > 0) {
      EXPECT_LE(array->Row(array->rows() - 1).size(), 12u);
    }
  }
}

class MakeFromNpyTest : public ::testing::TestWithParam<std::string> {
 protected:
  records::Example ExampleAt(const Dataset& dataset, int64_t id) {
    records::Example example;
    const auto record = dataset.Record(id);
    EXPECT_TRUE(record.ok() && example.ParseFromArray(record->data(), static_cast<int>(record->size())));
    return example;
  }
  absl::Status Make(const NpyOptions& options, MakeTarget target = {.out = "out"}) {
    return MakeFromNpy(&fs_, options, target, out_);
  }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

TEST_P(MakeFromNpyTest, ArchivesOfNumpy) {
  Put(&fs_, "arrays.npz", Golden(GetParam()));
  const absl::Status made = Make({.input = "arrays.npz"});
  ASSERT_TRUE(made.ok()) << made;
  const auto dataset = *Dataset::Open(&fs_, {"out-00000-of-00001.tfrecord"});
  ASSERT_EQ(dataset->size(), 5);
  for (int64_t row = 0; row < 5; ++row) {
    const records::Example example = ExampleAt(*dataset, row);
    const auto& features = example.features().feature();
    std::string image;
    for (int i = 0; i < 6; ++i) image.push_back(static_cast<char>(row * 6 + i));
    EXPECT_THAT(features.at("image").bytes_list().value(), ElementsAre(image));
    EXPECT_THAT(features.at("label").int64_list().value(), ElementsAre(row * 1000 - 2000));
    EXPECT_THAT(features.at("big").int64_list().value(), ElementsAre((int64_t{1} << 62) + row));
    EXPECT_THAT(features.at("flag").int64_list().value(), ElementsAre(row % 2 == 0));
    EXPECT_THAT(features.at("half").float_list().value(), ElementsAre(static_cast<float>(row) / 4 - 0.5f));
    EXPECT_THAT(features.at("single").float_list().value(),
                ElementsAre(static_cast<float>(row) + 0.25f, static_cast<float>(row) - 0.5f));
    EXPECT_THAT(features.at("double").float_list().value(),
                ElementsAre(static_cast<float>(static_cast<double>(row) / 3)));
    const std::string words[] = {"a", "bc", "", "def", "g"};
    EXPECT_THAT(features.at("word").bytes_list().value(), ElementsAre(words[row]));
  }
}

// Every bit of a compressed archive that matters is guarded by its CRC-32.
TEST_P(MakeFromNpyTest, DamageOfAnArchiveIsFound) {
  const std::string whole = Golden(GetParam());
  const auto contents = [](const NpyArrays& arrays) {
    std::string all;
    for (const auto& [name, array] : arrays.arrays())
      absl::StrAppend(&all, name, std::string(1, array.kind), array.item_bytes, array.elements);
    return all;
  };
  Put(&fs_, "x.npz", whole);
  const std::string want = contents(*NpyArrays::Open(&fs_, "x.npz", 1 << 20));
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << byte % 8));
    Put(&fs_, "x.npz", damaged);
    const auto arrays = NpyArrays::Open(&fs_, "x.npz", 1 << 20);
    if (!arrays.ok() || arrays->arrays().size() < 8) continue;  // or a name that no longer ends in .npy
    std::string found = contents(*arrays);
    if (found != want) {  // only a name may differ, in one character
      ASSERT_EQ(found.size(), want.size()) << byte;
      for (const auto& [name, array] : arrays->arrays()) ASSERT_EQ(array.rows(), 5);
    }
  }
  for (size_t size = 0; size < whole.size(); size += 7) {
    Put(&fs_, "x.npz", whole.substr(0, size));
    EXPECT_FALSE(NpyArrays::Open(&fs_, "x.npz", 1 << 20).ok()) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MakeFromNpyTest, ::testing::Values("arrays.npz", "arrays_deflated.npz"));

TEST_F(MakeFromNpyTest, AFolderOfArraysAndTheirTypes) {
  ASSERT_TRUE(fs_.CreateFolders("in").ok());
  Put(&fs_, "in/x.npy", Npy(Header("|u1", "(4, 2)"), "abcdefgh"));
  Put(&fs_, "in/y.npy", Npy(Header("<i4", "(4,)"), std::string("\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0", 16)));
  Put(&fs_, "in/notes.txt", "not an array");
  const absl::Status made = Make({.input = "in",
                                  .features = {*ParseNpyFeature("pixels:int=x"), *ParseNpyFeature("y:float"),
                                               *ParseNpyFeature("raw:bytes=y")},
                                  .test_every = 2},
                                 {.out = "made/d", .shards = 2});
  ASSERT_TRUE(made.ok()) << made;
  const auto train = *Dataset::Open(&fs_, {"made/d-train-0000*.tfrecord"}),
             test = *Dataset::Open(&fs_, {"made/d-test*"});
  ASSERT_EQ(train->size(), 2);
  ASSERT_EQ(test->size(), 2);
  const auto example = ExampleAt(*train, 1);  // row 3
  const auto& features = example.features().feature();
  EXPECT_THAT(features.at("pixels").int64_list().value(), ElementsAre('g', 'h'));
  EXPECT_THAT(features.at("y").float_list().value(), ElementsAre(4));
  EXPECT_THAT(features.at("raw").bytes_list().value(), ElementsAre(std::string("\4\0\0\0", 4)));
}

TEST_F(MakeFromNpyTest, Errors) {
  ASSERT_TRUE(fs_.CreateFolders("in").ok());
  Put(&fs_, "in/x.npy", Npy(Header("|u1", "(4,)"), "abcd"));
  Put(&fs_, "in/z.npy", Npy(Header("|u1", "(3,)"), "abc"));
  Put(&fs_, "f.npy", Npy(Header("<f4", "(1,)"), "abcd"));
  Put(&fs_, "u.npy", Npy(Header("<u8", "(1,)"), std::string(8, '\xff')));
  EXPECT_THAT(Make({.input = "in"}).message(), HasSubstr("array 'x' has 4 rows, and 'z' has 3"));
  EXPECT_THAT(Make({.input = "in", .features = {*ParseNpyFeature("a:int=X")}}).message(),
              HasSubstr("has no array 'X'"));
  EXPECT_THAT(Make({.input = "f.npy", .features = {*ParseNpyFeature("f:int")}}).message(),
              HasSubstr("holds floats"));
  EXPECT_THAT(Make({.input = "u.npy"}).message(), HasSubstr("18446744073709551615 is larger than an int64"));
  EXPECT_THAT(Make({.input = "none"}).message(), HasSubstr("none"));
  Put(&fs_, "bomb.npz", Golden("arrays_deflated.npz"));
  EXPECT_FALSE(Make({.input = "bomb.npz", .limit_bytes = 200}).ok());
  for (const std::string text : {"", ":int", "a:", "a:word", "a:int64=b"})
    EXPECT_FALSE(ParseNpyFeature(text).ok()) << text;
}

}  // namespace
}  // namespace lockstep::data
