// Things under a record file's name that are none, and files that change under the reader. On the real file
// system, since a FIFO that nobody writes to and a mapping whose file was cut exist nowhere else.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/mapping_guard.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_file.h"
#include "runtime/data/sources.h"
#include "tests/data/record_bytes.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BadFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    InstallMappingGuard();
    std::string folder = ::testing::TempDir() + "/bad_files_XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    path_ = folder_ + "/f";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Error(const std::string& path) {
    const absl::Status status = RecordFile::Open(RealFileSystem(), path).status();
    EXPECT_EQ(TroubleOf(status), Trouble::kData) << status;
    return std::string(status.message());
  }
  void Cut(uint64_t size_bytes) { ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(size_bytes)), 0); }

  std::string folder_, path_;
};

TEST_F(BadFilesTest, FolderFifoDeviceEmptyAndMissing) {
  EXPECT_THAT(Error(folder_), AllOf(HasSubstr(folder_), HasSubstr("directory")));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(Error(path_), "cannot open " + path_ + ": it is a FIFO, socket or device, not a plain file");
  EXPECT_THAT(Error("/dev/null"), HasSubstr("not a plain file"));
  Put(RealFileSystem(), folder_ + "/empty", "");
  EXPECT_THAT(Error(folder_ + "/empty"), HasSubstr("is empty: 0 bytes"));
  EXPECT_THAT(Error(folder_ + "/none"), HasSubstr("none"));
}

TEST_F(BadFilesTest, IndexThatIsAFifoOrAFolderIsPassedOver) {
  Put(RealFileSystem(), path_, FileOf({"zero"}));
  ASSERT_EQ(::mkfifo((path_ + ".lsidx").c_str(), 0600), 0);
  EXPECT_TRUE(RecordFile::Open(RealFileSystem(), path_).ok());
  std::filesystem::remove(path_ + ".lsidx");
  std::filesystem::create_directory(path_ + ".lsidx");
  EXPECT_TRUE(RecordFile::Open(RealFileSystem(), path_).ok());
}

// The size on disk is what is believed: a sparse file that says it is huge costs nothing.
TEST_F(BadFilesTest, SparseFileOfManyTerabytes) {
  Put(RealFileSystem(), path_, FileOf({"zero"}));
  Cut(uint64_t{1} << 42);
  EXPECT_THAT(Error(path_), AllOf(HasSubstr("byte 20, record 1"), HasSubstr("the length is damaged")));
}

TEST_F(BadFilesTest, FileCutWhileRecordsAreRead) {
  const std::vector<std::string> records(100, std::string(4096, 'x'));
  Put(RealFileSystem(), path_, FileOf(records));
  auto file = *RecordFile::Open(RealFileSystem(), path_);
  ASSERT_TRUE(file->Record(99).ok());
  Cut(10000);  // on a page that stays mapped
  EXPECT_TRUE(file->Record(0).ok());
  const std::string error =
      path_ +
      " has become shorter while it was read: it had 411200 bytes when it was opened, and now has 10000";
  EXPECT_EQ(file->Record(2).status().message(), error);   // begins before the end and goes on behind it
  EXPECT_EQ(file->Record(99).status().message(), error);  // on a page that is gone
  EXPECT_EQ(file->CheckWhole().message(), error);
}

TEST_F(BadFilesTest, PayloadThatVanishesAfterItWasCompared) {
  Put(RealFileSystem(), path_, FileOf(std::vector<std::string>(100, std::string(4096, 'x'))));
  auto file = *RecordFile::Open(RealFileSystem(), path_);
  const absl::string_view payload = *file->Record(50);
  EXPECT_TRUE(file->CheckWhole().ok());
  Cut(4096);
  EXPECT_EQ(payload[4000], '\0');  // no death, and whoever asks is told
  EXPECT_FALSE(file->CheckWhole().ok());
}

TEST_F(BadFilesTest, FileCutWhileItIsScannedAndIndexed) {
  Put(RealFileSystem(), path_, FileOf(std::vector<std::string>(100, std::string(4096, 'x'))));
  auto bytes = *RecordBytes::Open(RealFileSystem(), path_);
  RecordScanner scan(path_, bytes.view());
  ASSERT_TRUE(scan.Next());
  Cut(8192);
  while (scan.Next()) {
  }
  EXPECT_THAT(bytes.Explain(path_, scan.status()).message(), HasSubstr("has become shorter"));
  EXPECT_FALSE(RecordIndex::Build(path_, bytes.view()).ok());
}

// Readers on several threads while the file is cut and grows again: errors, never a crash.
TEST_F(BadFilesTest, FileThatIsCutAgainAndAgain) {
  const std::vector<std::string> records(64, ExampleMaker().Bytes("x", std::string(4096, 'x')).Serialize());
  const std::string contents = FileOf(records);
  Put(RealFileSystem(), path_, contents);
  auto source = MakeExampleSource(*Dataset::Open(RealFileSystem(), {path_}),
                                  {{.name = "x", .type = {DType::kU8, {4096}}}});
  ASSERT_TRUE(source.ok()) << source.status();
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      std::vector<std::byte> out(4096);
      std::byte* const outputs[] = {out.data()};
      for (int64_t i = 0; !stop; ++i) {
        const absl::Status status = (*source)->Decode(i % 64, outputs);
        ASSERT_TRUE(status.ok() || TroubleOf(status) == Trouble::kData) << status;
      }
    });
  }
  for (int round = 0; round < 20; ++round) {
    Cut(static_cast<uint64_t>(round) * 10000);
    std::this_thread::yield();
    std::ofstream(path_, std::ios::binary)
        .write(contents.data(), static_cast<std::streamsize>(contents.size()));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace lockstep::data
