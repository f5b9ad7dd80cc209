#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "gtest/gtest.h"
#include "runtime/core/rng.h"

namespace lockstep::testing {
namespace {

constexpr size_t kMaxInputBytes = 1 << 20;

// A stream of numbers that follows from the index of the input.
class Dice {
 public:
  explicit Dice(uint64_t index) : state_(Mix64(index + 1)) {}
  uint64_t Next() { return Mix64(state_ += 0x9e3779b97f4a7c15u); }
  size_t Below(size_t limit) { return limit == 0 ? 0 : static_cast<size_t>(Next() % limit); }

 private:
  uint64_t state_;
};

// Numbers at which sums and products overflow, and the ends of small ranges.
constexpr uint64_t kTelling[] = {0,          1,          0x7f,       0x80,       0xff,       0x7fff, 0xffff,
                                 0x7fffffff, 0x80000000, 0xffffffff, ~0ull >> 1, 1ull << 63, ~0ull};
constexpr const char* kWords[] = {"-1", "0", "18446744073709551616", "1e999", "nan", "\"", "{", "}", "[", "]",
                                  "\n", ":"};

void MutateOnce(std::string& text, const std::vector<std::string>& seeds, Dice& dice) {
  const size_t at = dice.Below(text.size() + 1);
  const size_t length = std::min(text.size() - at, 1 + dice.Below(dice.Below(4) == 0 ? 200 : 8));
  switch (dice.Below(8)) {
    case 0:  // a bit
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << dice.Below(8)));
      break;
    case 2:  // a byte
      if (at < text.size()) text[at] = static_cast<char>(dice.Next());
      break;
    case 3: {  // a little-endian number of 1, 2, 4 or 8 bytes
      const uint64_t value = kTelling[dice.Below(std::size(kTelling))] + dice.Below(2);
      const size_t width = std::min<size_t>(text.size() - at, size_t{1} << dice.Below(4));
      std::memcpy(text.data() + at, &value, width);
      break;
    }
    case 4:
      text.erase(at, length);
      break;
    case 5:
      text.insert(at, text.substr(at, length));
      break;
    case 6: {  // a part of any seed
      const std::string& other = seeds[dice.Below(seeds.size())];
      const size_t from = dice.Below(other.size() + 1);
      text.insert(at, other.substr(from, 1 + dice.Below(64)));
      break;
    }
    case 7:
      text.replace(at, std::min<size_t>(length, 3), kWords[dice.Below(std::size(kWords))]);
      break;
  }
}

// The input under way, in a file that is there after a crash.
class CrashFile {
 public:
  explicit CrashFile(std::string_view name)
      : path_("/tmp/lockstep-fuzz-" + std::string(name) + "-" + std::to_string(getpid())) {
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (ftruncate(fd, kMaxInputBytes + 32) == 0) {
      void* bytes = mmap(nullptr, kMaxInputBytes + 32, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (bytes != MAP_FAILED) bytes_ = static_cast<char*>(bytes);
    }
    close(fd);
  }
  ~CrashFile() {
    if (bytes_ != nullptr) munmap(bytes_, kMaxInputBytes + 32);
    unlink(path_.c_str());
  }
  // First line: the number of the input and its size in bytes; then the input.
  void Hold(uint64_t index, const std::string& input) {
    if (bytes_ == nullptr) return;
    std::snprintf(bytes_, 32, "%-15llu%-15zu\n", static_cast<unsigned long long>(index), input.size());
    std::memcpy(bytes_ + 31, input.data(), input.size());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  char* bytes_ = nullptr;
};

double NumberFromEnvironment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::atof(text);
}

}  // namespace

std::string MutatedInput(const std::vector<std::string>& seeds, uint64_t index) {
  Dice dice(index);
  std::string text = seeds[dice.Below(seeds.size())];
  for (size_t i = 1 + dice.Below(4); i > 0; --i) MutateOnce(text, seeds, dice);
  text.resize(std::min(text.size(), kMaxInputBytes));
  return text;
}

void Fuzz(std::string_view name, const std::vector<std::string>& seeds,
          const std::function<void(const std::string& input)>& feed) {
  ASSERT_FALSE(seeds.empty());
  CrashFile crash_file(name);
  const auto seconds = std::chrono::duration<double>(NumberFromEnvironment("LOCKSTEP_FUZZ_SECONDS", 1));
  uint64_t index = static_cast<uint64_t>(NumberFromEnvironment("LOCKSTEP_FUZZ_FIRST", 0));
  std::printf("fuzz: the input under way is kept in %s\n", crash_file.path().c_str());
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const uint64_t first = index;
  for (; std::chrono::steady_clock::now() - start < seconds; ++index) {
    const std::string input = MutatedInput(seeds, index);
    crash_file.Hold(index, input);
    feed(input);
    if (::testing::Test::HasFailure()) {
      std::printf("fuzz: failed at LOCKSTEP_FUZZ_FIRST=%llu\n", static_cast<unsigned long long>(index));
      return;
    }
  }
  std::printf("fuzz: %llu inputs\n", static_cast<unsigned long long>(index - first));
}

}  // namespace lockstep::testing
