#include "runtime/data/dali_index.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/record_sidecar.h"
#include "runtime/data/record_tools.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

class DaliIndexTest : public ::testing::Test {
 protected:
  absl::Status Import(const std::string& text) {
    Put(&fs_, "f.idx", text);
    return IndexRecords(&fs_, {"f"}, IndexWork::kImportDali, out_);
  }
  DaliIndexTest() { Put(&fs_, "f", FileOf({"zero", "", "two"})); }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

// As tfrecord2idx writes it: "offset size" with the framing in the size.
constexpr char kText[] = "0 20\n20 16\n36 19\n";

TEST_F(DaliIndexTest, Export) {
  ASSERT_TRUE(IndexRecords(&fs_, {"f"}, IndexWork::kExportDali, out_).ok());
  EXPECT_EQ(*ReadWholeFile(&fs_, "f.idx"), kText);
  EXPECT_FALSE(fs_.Exists("f.lsidx"));
  EXPECT_EQ(out_.str(), "f.idx: 3 records\n");
}

TEST_F(DaliIndexTest, ImportMakesTheSameIndexAsBuilding) {
  ASSERT_TRUE(IndexRecords(&fs_, {"f"}, IndexWork::kBuild, out_).ok());
  const std::string built = *ReadWholeFile(&fs_, "f.lsidx");
  ASSERT_TRUE(fs_.Delete("f.lsidx").ok());
  const absl::Status imported = Import(kText);
  ASSERT_TRUE(imported.ok()) << imported;
  EXPECT_EQ(*ReadWholeFile(&fs_, "f.lsidx"), built);
  EXPECT_TRUE(Import("0 20\r\n\n20\t16 \n36 19").ok());  // other white space
}

TEST_F(DaliIndexTest, LinesThatDoNotFitAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"0 20\nabout 16\n", "f.idx, line 2: 'about 16' is not \"offset size\""},
      {"0 20 16\n", "line 1"},
      {"-1 20\n", "line 1"},
      {"0 99999999999999999999\n", "line 1"},
      {"0 19\n", "f.idx, line 1 is not of f: no whole record of 19 bytes begins at byte 0"},
      {"0 20\n20 17\n", "line 2 is not of f"},
      {"20 16\n", "f.idx, line 1 says byte 20, and the record before it ends at byte 0"},
      {"0 20\n20 16\n36 19\n55 18446744073709551615\n", "line 4 is not of f"},
      {"0 20\n20 16\n", "f.idx ends at byte 36 of f, which has 55"},
      {"", "f.idx ends at byte 0 of f, which has 55"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = Import(text);
    EXPECT_EQ(ExitCodeOf(status), 3) << text;
    EXPECT_THAT(status.message(), HasSubstr(message));
    EXPECT_FALSE(fs_.Exists("f.lsidx"));
  }
}

TEST_F(DaliIndexTest, MissingTextAndCompressedFiles) {
  EXPECT_THAT(IndexRecords(&fs_, {"f"}, IndexWork::kImportDali, out_).message(), HasSubstr("f.idx"));
  auto writer = *RecordWriter::Create(&fs_, "g", {.compression = Compression::kGzip});
  ASSERT_TRUE(writer->Write("zero").ok());
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_THAT(IndexRecords(&fs_, {"g"}, IndexWork::kExportDali, out_).message(),
              HasSubstr("g is GZIP: DALI reads no compressed record files"));
}

}  // namespace
}  // namespace lockstep::data
