#include "runtime/core/file_system.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace lockstep {
namespace {

class FileSystemTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(DeleteTree(fs_, folder_).ok());
    ASSERT_TRUE(fs_->CreateFolders(folder_).ok());
  }
  void TearDown() override { EXPECT_TRUE(DeleteTree(fs_, folder_).ok()); }
  std::string Path(absl::string_view name) const { return JoinPath(folder_, name); }

  FileSystem* const fs_ = RealFileSystem();
  const std::string folder_ = JoinPath(::testing::TempDir(), absl::StrCat("file_system_test_", getpid()));
};

TEST_F(FileSystemTest, WritesAreReadBack) {
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("a"), "hello").ok());
  EXPECT_EQ(*ReadWholeFile(fs_, Path("a")), "hello");
  EXPECT_FALSE(fs_->Exists(Path("a.tmp")));
  auto file = fs_->OpenForAppend(Path("a"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(" world").ok());
  EXPECT_EQ(*ReadWholeFile(fs_, Path("a")), "hello world");
}

TEST_F(FileSystemTest, ReadingPastTheEndNamesFileAndByte) {
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("a"), "12345").ok());
  auto file = fs_->Open(Path("a"));
  ASSERT_TRUE(file.ok());
  char bytes[4];
  const absl::Status status = (*file)->ReadAt(3, bytes, 4);
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_NE(status.message().find(absl::StrCat(Path("a"), " ends at byte 5")), absl::string_view::npos)
      << status;
}

TEST_F(FileSystemTest, ErrorsHaveTheirCodes) {
  EXPECT_TRUE(absl::IsNotFound(fs_->Open(Path("none")).status()));
  EXPECT_FALSE(fs_->Open(folder_).ok()) << "a folder is no file";
  ASSERT_TRUE(fs_->CreateExclusive(Path("once"), "1").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(fs_->CreateExclusive(Path("once"), "2")));
  EXPECT_EQ(*ReadWholeFile(fs_, Path("once")), "1");
}

TEST_F(FileSystemTest, ALockIsHeldUntilItGoes) {
  auto first = fs_->Lock(Path("lock"));
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(fs_->Lock(Path("lock")).status()));
  first->reset();
  EXPECT_TRUE(fs_->Lock(Path("lock")).ok());
}

TEST_F(FileSystemTest, GlobSortsAndSaysWhenNothingMatches) {
  for (const char* name : {"b-2", "b-1", "c"}) ASSERT_TRUE(WriteFileAtomically(fs_, Path(name), "").ok());
  auto found = Glob(fs_, Path("b-*"));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, (std::vector<std::string>{Path("b-1"), Path("b-2")}));
  EXPECT_TRUE(absl::IsNotFound(Glob(fs_, Path("z*")).status()));
  EXPECT_TRUE(absl::IsNotFound(Glob(fs_, Path("z")).status()));
}

TEST_F(FileSystemTest, DeletingATreeLeavesWhatItsLinksPointTo) {
  ASSERT_TRUE(fs_->CreateFolders(Path("kept")).ok());
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("kept/file"), "x").ok());
  ASSERT_TRUE(fs_->CreateFolders(Path("gone/deep/er")).ok());
  ASSERT_EQ(symlink(Path("kept").c_str(), Path("gone/link").c_str()), 0);
  ASSERT_TRUE(DeleteTree(fs_, Path("gone")).ok());
  EXPECT_FALSE(fs_->Exists(Path("gone")));
  EXPECT_TRUE(fs_->Exists(Path("kept/file")));
}

}  // namespace
}  // namespace lockstep
