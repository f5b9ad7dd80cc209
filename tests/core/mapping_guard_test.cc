#include "runtime/core/mapping_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

// A mapped file of `pages` pages full of 'x'.
struct Mapped {
  explicit Mapped(size_t pages) : size(pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE))) {
    fd = ::memfd_create("mapping_guard_test", 0);
    EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
    auto* writable = static_cast<char*>(::mmap(nullptr, size, PROT_WRITE, MAP_SHARED, fd, 0));
    std::fill(writable, writable + size, 'x');
    ::munmap(writable, size);
    bytes = static_cast<const char*>(::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
  }
  ~Mapped() {
    ::munmap(const_cast<char*>(bytes), size);
    ::close(fd);
  }
  void CutTo(size_t bytes_left) const { ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(bytes_left)), 0); }
  const size_t size;
  int fd = -1;
  const char* bytes = nullptr;
};

TEST(MappingGuardTest, LostPagesReadAsZerosAndAreTold) {
  InstallMappingGuard();
  const Mapped mapped(8), other(8);
  const GuardedMapping guard(mapped.bytes, mapped.size), of_other(other.bytes, other.size);
  const size_t page = mapped.size / 8;
  mapped.CutTo(2 * page);
  EXPECT_EQ(*(volatile const char*)(mapped.bytes + page), 'x');
  EXPECT_FALSE(guard.lost());
  EXPECT_EQ(*(volatile const char*)(mapped.bytes + 5 * page + 17), '\0');
  EXPECT_EQ(*(volatile const char*)(mapped.bytes + 7 * page), '\0');
  EXPECT_TRUE(guard.lost());
  EXPECT_FALSE(of_other.lost());
}

TEST(MappingGuardTest, ManyThreadsAtOnce) {
  InstallMappingGuard();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int round = 0; round < 20; ++round) {
        const Mapped mapped(4);
        GuardedMapping guard(mapped.bytes, mapped.size);
        const GuardedMapping moved = std::move(guard);
        mapped.CutTo(0);
        for (size_t at = 0; at < mapped.size; at += 512)
          EXPECT_EQ(*(volatile const char*)(mapped.bytes + at), '\0');
        EXPECT_TRUE(moved.lost());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(MappingGuardDeathTest, OtherFaultsStayWhatTheyWere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        InstallMappingGuard();
        const Mapped mapped(2);  // announced to nobody
        mapped.CutTo(0);
        [[maybe_unused]] const char byte = *(volatile const char*)(mapped.bytes);
      },
      [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "");
}

}  // namespace
}  // namespace lockstep
