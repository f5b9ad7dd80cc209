// Random Examples and SequenceExamples as bytes: every form that protobuf knows of writing one, and some
// that it refuses.
#ifndef LOCKSTEP_TESTS_DATA_WIRE_MAKER_H_
#define LOCKSTEP_TESTS_DATA_WIRE_MAKER_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace lockstep::data {

// What it makes is a function of the seed and the calls so far.
class WireMaker {
 public:
  // `names`: keys of features. `quirks`: of how many places one is spoilt or unusual, in thousandths.
  WireMaker(uint64_t seed, std::vector<std::string> names, int quirks)
      : random_(seed), names_(std::move(names)), quirks_(quirks) {}

  std::string Example();          // Example { features = 1 }
  std::string SequenceExample();  // context = 1, feature_lists = 2
  // Changes some bytes of it: bits flipped, bytes put in, taken out, doubled.
  void Damage(std::string* bytes);

  uint64_t Below(uint64_t n) { return n == 0 ? 0 : random_() % n; }

 private:
  bool Quirk() { return static_cast<int>(Below(1000)) < quirks_; }
  static std::string Varint(uint64_t value);
  std::string Number(uint64_t value);  // sometimes longer than needed
  std::string Tag(uint32_t number, int type) {
    return Number(uint64_t{number} << 3 | static_cast<uint32_t>(type));
  }
  std::string Field(uint32_t number, const std::string& bytes);
  std::string Unknown();
  std::string List(int kind);
  std::string Feature();
  std::string Name();
  std::string Map(bool of_lists);

  std::mt19937_64 random_;
  const std::vector<std::string> names_;
  const int quirks_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_TESTS_DATA_WIRE_MAKER_H_
