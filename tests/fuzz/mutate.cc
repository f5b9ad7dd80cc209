#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <cstring>

#include "runtime/core/rng.h"

namespace lockstep::testing {
namespace {

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

}  // namespace

std::string MutatedInput(const std::vector<std::string>& seeds, uint64_t index) {
  Dice dice(index);
  std::string text = seeds[dice.Below(seeds.size())];
  for (size_t i = 1 + dice.Below(4); i > 0; --i) MutateOnce(text, seeds, dice);
  text.resize(std::min(text.size(), kMaxFuzzInputBytes));
  return text;
}

}  // namespace lockstep::testing
