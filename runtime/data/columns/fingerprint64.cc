#include "runtime/data/columns/fingerprint64.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>

namespace lockstep::data {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie");

constexpr uint64_t kFirst = 0xc3a5c85c97cb3127, kSecond = 0xb492b66fbe98f273, kThird = 0x9ae16a3b2f90404f;

uint64_t Word(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t HalfWord(const char* at) {
  uint32_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t Byte(const char* at) { return static_cast<uint8_t>(*at); }

uint64_t Fold(uint64_t x) { return x ^ (x >> 47); }

// 128 bits to 64.
uint64_t Mix(uint64_t x, uint64_t y, uint64_t factor) {
  return Fold((Fold((x ^ y) * factor) ^ y) * factor) * factor;
}

uint64_t HashTo16(const char* s, size_t size) {
  const uint64_t factor = kThird + 2 * size;
  if (size >= 8) {
    const uint64_t first = Word(s) + kThird, last = Word(s + size - 8);
    return Mix(std::rotr(last, 37) * factor + first, (std::rotr(first, 25) + last) * factor, factor);
  }
  if (size >= 4) return Mix(size + (HalfWord(s) << 3), HalfWord(s + size - 4), factor);
  if (size == 0) return kThird;
  const uint64_t y = Byte(s) + (Byte(s + size / 2) << 8), z = size + (Byte(s + size - 1) << 2);
  return Fold(y * kThird ^ z * kFirst) * kThird;
}

uint64_t HashTo32(const char* s, size_t size) {
  const uint64_t factor = kThird + 2 * size;
  const uint64_t a = Word(s) * kSecond, b = Word(s + 8);
  const uint64_t c = Word(s + size - 8) * factor, d = Word(s + size - 16) * kThird;
  return Mix(std::rotr(a + b, 43) + std::rotr(c, 30) + d, a + std::rotr(b + kThird, 18) + c, factor);
}

uint64_t HashTo64(const char* s, size_t size) {
  const uint64_t factor = kThird + 2 * size;
  const uint64_t a = Word(s) * kThird, b = Word(s + 8);
  const uint64_t c = Word(s + size - 8) * factor, d = Word(s + size - 16) * kThird;
  const uint64_t y = std::rotr(a + b, 43) + std::rotr(c, 30) + d;
  const uint64_t z = Mix(y, a + std::rotr(b + kThird, 18) + c, factor);
  const uint64_t e = Word(s + 16) * factor, f = Word(s + 24);
  const uint64_t g = (y + Word(s + size - 32)) * factor, h = (z + Word(s + size - 24)) * factor;
  return Mix(std::rotr(e + f, 43) + std::rotr(g, 30) + h, e + std::rotr(f + a, 18) + g, factor);
}

struct Pair {
  uint64_t first = 0, second = 0;
};

// 32 bytes and two seeds to 128 bits.
Pair Absorb(const char* s, uint64_t a, uint64_t b) {
  a += Word(s);
  b = std::rotr(b + a + Word(s + 24), 21);
  const uint64_t before = a;
  a += Word(s + 8) + Word(s + 16);
  return {a + Word(s + 24), b + std::rotr(a, 44) + before};
}

// The state of long strings, 56 bytes, that each block of 64 is stirred into.
struct Stirrer {
  uint64_t x, y, z;
  Pair v, w;

  // `weight` is 1 but for the last block.
  void Stir(const char* s, uint64_t factor, uint64_t weight) {
    x = std::rotr(x + y + v.first + Word(s + 8), 37) * factor;
    y = std::rotr(y + v.second + Word(s + 48), 42) * factor;
    x ^= w.second * weight;
    y += v.first * weight + Word(s + 40);
    z = std::rotr(z + w.first, 33) * factor;
    v = Absorb(s, v.second * factor, x + w.first);
    w = Absorb(s + 32, z + w.second, y + Word(s + 16));
    std::swap(z, x);
  }
};

uint64_t HashLong(const char* s, size_t size) {
  constexpr uint64_t kSeed = 81;
  Stirrer state{kSeed * kThird + Word(s), kSeed * kSecond + 113, 0, {}, {}};
  state.z = Fold(state.y * kThird + 113) * kThird;
  const size_t blocks = (size - 1) / 64;
  for (size_t i = 0; i < blocks; ++i) state.Stir(s + 64 * i, kSecond, 1);
  const uint64_t factor = kSecond + ((state.z & 0xff) << 1);
  state.w.first += (size - 1) & 63;
  state.v.first += state.w.first;
  state.w.first += state.v.first;
  state.Stir(s + size - 64, factor, 9);
  const auto& [x, y, z, v, w] = state;
  return Mix(Mix(v.first, w.first, factor) + Fold(y) * kFirst + z, Mix(v.second, w.second, factor) + x,
             factor);
}

}  // namespace

uint64_t Fingerprint64(absl::string_view bytes) {
  const char* const s = bytes.data();
  const size_t size = bytes.size();
  if (size <= 16) return HashTo16(s, size);
  if (size <= 32) return HashTo32(s, size);
  return size <= 64 ? HashTo64(s, size) : HashLong(s, size);
}

uint64_t CombineFingerprints(uint64_t first, uint64_t second) {
  constexpr uint64_t kFactor = 0xc6a4a7935bd1e995;
  const uint64_t mixed = ((first ^ kFactor) ^ (Fold(second * kFactor) * kFactor)) * kFactor;
  return Fold(Fold(mixed) * kFactor);
}

}  // namespace lockstep::data
