#include "runtime/data/remote/block_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::data {
namespace {

namespace files = std::filesystem;

class BlockCacheTest : public ::testing::Test {
 protected:
  BlockCacheTest()
      : folder_(::testing::TempDir() + "/block_cache_" +
                ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    files::remove_all(folder_);
  }
  ~BlockCacheTest() override { files::remove_all(folder_); }
  std::shared_ptr<BlockCache> Open(uint64_t limit_bytes = 1 << 20) {
    return *BlockCache::Open(folder_, limit_bytes);
  }
  static std::string Key(char c) { return std::string(64, c); }
  static std::string Get(BlockCache& cache, const std::string& key, uint64_t block, size_t size_bytes) {
    std::string out(size_bytes, '?');
    return cache.Get(key, block, absl::MakeSpan(out)) ? out : "(none)";
  }
  std::vector<files::path> Blocks() const {
    std::vector<files::path> found;
    for (const auto& entry : files::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file() && entry.path().extension() == ".block") found.push_back(entry.path());
    }
    return found;
  }
  uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& path : Blocks()) bytes += files::file_size(path);
    return bytes;
  }
  const std::string folder_;
};

TEST_F(BlockCacheTest, KeepsBlocksForOthersToo) {
  const auto cache = Open();
  EXPECT_EQ(Get(*cache, Key('a'), 0, 5), "(none)");
  cache->Put(Key('a'), 0, "hello");
  cache->Put(Key('a'), 7, "world");
  EXPECT_EQ(Get(*cache, Key('a'), 0, 5), "hello");
  const auto other = Open();
  EXPECT_EQ(Get(*other, Key('a'), 7, 5), "world");
  EXPECT_EQ(Get(*other, Key('b'), 0, 5), "(none)");
  EXPECT_EQ(Get(*other, Key('a'), 0, 4), "(none)");  // another size: not what is meant
  EXPECT_EQ(other->counts().hits, 1);
}

TEST_F(BlockCacheTest, EveryFlippedBitIsFoundAndTheBlockDeleted) {
  const auto cache = Open();
  cache->Put(Key('a'), 3, "some contents");
  const files::path path = Blocks().at(0);
  std::string whole(files::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(whole.data(), static_cast<std::streamsize>(whole.size()));
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    ASSERT_EQ(Get(*cache, Key('a'), 3, 13), "(none)") << bit;
    ASSERT_FALSE(files::exists(path));
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    ASSERT_EQ(Get(*cache, Key('a'), 3, 13), "(none)") << size;
  }
  EXPECT_EQ(cache->counts().damaged, static_cast<int64_t>(whole.size() * 9));
}

TEST_F(BlockCacheTest, ABlockUnderAnothersNameIsNotTaken) {
  const auto cache = Open();
  cache->Put(Key('a'), 3, "contents of 3");
  files::copy_file(Blocks().at(0), folder_ + "/aa/" + Key('a') + "-4.block");
  EXPECT_EQ(Get(*cache, Key('a'), 4, 13), "(none)");
  EXPECT_EQ(Get(*cache, Key('a'), 3, 13), "contents of 3");
}

TEST_F(BlockCacheTest, WhatWasUsedLongestAgoGoesFirst) {
  const std::string contents(1000, 'x');
  const auto cache = Open(10 * 1020);
  const auto now = files::file_time_type::clock::now();
  for (uint64_t block = 0; block < 10; ++block) {
    cache->Put(Key('a'), block, contents);
    files::last_write_time(folder_ + "/aa/" + Key('a') + "-" + std::to_string(block) + ".block",
                           now - std::chrono::hours(100 - block));
  }
  EXPECT_EQ(Get(*cache, Key('a'), 0, 1000), contents);  // used: now it is the newest
  cache->Put(Key('a'), 10, contents);
  EXPECT_LE(BytesOnDisk(), 10u * 1020);
  EXPECT_EQ(Get(*cache, Key('a'), 0, 1000), contents);
  EXPECT_EQ(Get(*cache, Key('a'), 10, 1000), contents);
  EXPECT_EQ(Get(*cache, Key('a'), 1, 1000), "(none)");
}

TEST_F(BlockCacheTest, WhatIsLargerThanAllIsNotKept) {
  const auto cache = Open(100);
  cache->Put(Key('a'), 0, std::string(100, 'x'));
  EXPECT_TRUE(Blocks().empty());
}

TEST_F(BlockCacheTest, WritersDoNotDisturbEachOther) {
  const std::string contents(5000, 'y');
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t) {
    writers.emplace_back([&, cache = Open(100 * 5020)] {
      for (uint64_t i = 0; i < 200; ++i) {
        cache->Put(Key('c'), i, contents);
        std::string out(5000, '?');
        if (cache->Get(Key('c'), i, absl::MakeSpan(out))) {
          ASSERT_EQ(out, contents);
        }
      }
      EXPECT_EQ(cache->counts().damaged, 0);
      EXPECT_EQ(cache->counts().failed_writes, 0);
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_LE(BytesOnDisk(), 100u * 5020 * 5 / 4);  // a sixteenth for each of four
}

TEST_F(BlockCacheTest, AFolderThatCannotBeWrittenIsNoErrorOfReading) {
  const auto cache = Open();
  files::create_directories(folder_);
  std::ofstream(folder_ + "/aa") << "a file where a folder should be";
  cache->Put(Key('a'), 0, "hello");
  EXPECT_EQ(Get(*cache, Key('a'), 0, 5), "(none)");
  EXPECT_EQ(cache->counts().failed_writes, 1);
  EXPECT_EQ(TroubleOf(BlockCache::Open(folder_ + "/aa/b", 100).status()), Trouble::kConfig);
}

}  // namespace
}  // namespace lockstep::data
