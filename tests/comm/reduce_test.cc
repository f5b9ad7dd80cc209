#include "comm/reduce/reduce.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "comm/call.h"
#include "comm/reduce/half.h"
#include "gtest/gtest.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

std::vector<float> Values(int input, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = std::ldexp(1.0f + static_cast<float>((i * 37 + input) % 97) / 97,
                           static_cast<int>(i * 7 + input * 5) % 40 - 20);
  return values;
}

// Any number of inputs, at any alignment, streaming or not, equals the expression evaluated element by
// element.
TEST(ReduceTest, SumsInTheOrderOfTheSteps) {
  for (int inputs = 1; inputs <= 9; ++inputs) {
    const auto steps = BalancedSteps(inputs);
    for (size_t count : {0, 1, 15, 1000, 5003}) {
      std::vector<std::vector<float>> in;
      for (int k = 0; k < inputs; ++k) in.push_back(Values(k, count + 3));
      std::vector<float> want(count);
      for (size_t i = 0; i < count; ++i) {
        std::vector<float> slots;
        for (int k = 0; k < inputs; ++k) slots.push_back(in[k][i + k % 3]);
        for (const AddStep& step : steps) slots.push_back(slots[step.left] + slots[step.right]);
        want[i] = slots.back();
      }
      for (Stores stores : {Stores::kCached, Stores::kStreaming}) {
        std::vector<float> out(count + 1);
        std::vector<const void*> pointers;
        for (int k = 0; k < inputs; ++k) pointers.push_back(in[k].data() + k % 3);
        ReduceProgram(inputs, steps, ReduceOp::kSum, DType::kF32)
            .Run(pointers.data(), out.data() + 1, count, stores);
        EXPECT_TRUE(count == 0 || std::memcmp(out.data() + 1, want.data(), count * 4) == 0)
            << inputs << " inputs, " << count;
      }
    }
  }
}

TEST(ReduceTest, AnUnbalancedOrderIsKept) {
  const std::vector<AddStep> steps{{1, 2}, {0, 3}};  // a + (b + c)
  const float a = 1e8f, b = -1e8f, c = 1;
  const void* const in[] = {&a, &b, &c};
  float out;
  ReduceProgram(3, steps, ReduceOp::kSum, DType::kF32).Run(in, &out, 1);
  EXPECT_EQ(out, a + (b + c));
  EXPECT_NE(out, (a + b) + c);
}

// A random order of additions: two of what is left are added, until one is left.
std::vector<AddStep> RandomSteps(int inputs, bool deep, std::mt19937& random) {
  std::vector<int> left;
  for (int i = 0; i < inputs; ++i) left.push_back(i);
  std::vector<AddStep> steps;
  // `deep`: an order that needs all pairs' sums at once, so as many scratch places as pairs.
  while (left.size() > 1) {
    const size_t a = deep ? 0 : random() % left.size();
    const int first = left[a];
    left.erase(left.begin() + static_cast<ptrdiff_t>(a));
    const size_t b = deep ? 0 : random() % left.size();
    const int second = left[b];
    left.erase(left.begin() + static_cast<ptrdiff_t>(b));
    left.push_back(inputs + static_cast<int>(steps.size()));
    steps.push_back({first, second});
  }
  return steps;
}

template <typename T>
void ExpectAnyOrder(int inputs, bool deep, size_t count, Stores stores, bool in_place, std::mt19937& random) {
  const std::vector<AddStep> steps = RandomSteps(inputs, deep, random);
  std::vector<std::vector<T>> in(inputs, std::vector<T>(count + 20));
  std::vector<T*> at;
  for (auto& values : in) {
    for (T& value : values)
      value = std::ldexp(static_cast<T>(random() % 997), static_cast<int>(random() % 40) - 20);
    at.push_back(values.data() + random() % 20);
  }
  std::vector<T> want(count), slots(inputs + steps.size()), apart(count + 20);
  for (size_t i = 0; i < count; ++i) {
    for (int k = 0; k < inputs; ++k) slots[k] = at[k][i];
    for (size_t k = 0; k < steps.size(); ++k)
      slots[inputs + k] = slots[steps[k].left] + slots[steps[k].right];
    want[i] = slots.back();
  }
  T* const out = in_place ? at[random() % inputs] : apart.data() + random() % 20;
  const T before = in_place ? T{} : (out + count < apart.data() + apart.size() ? out[count] : T{});
  const std::vector<const void*> pointers(at.begin(), at.end());
  ReduceProgram(inputs, steps, ReduceOp::kSum, std::is_same_v<T, float> ? DType::kF32 : DType::kF64)
      .Run(pointers.data(), out, count, stores);
  EXPECT_TRUE(count == 0 || std::memcmp(out, want.data(), count * sizeof(T)) == 0)
      << inputs << " inputs, " << count << (deep ? ", deep" : "") << (in_place ? ", in place" : "");
  if (!in_place && out + count < apart.data() + apart.size()) {
    EXPECT_EQ(out[count], before);
  }
}

// Trees of every shape, more inputs and scratch places than one pass takes, lengths around its groups.
TEST(ReduceTest, AnyOrderAtAnyLengthAndAlignment) {
  std::mt19937 random(7);
  for (const int inputs : {2, 3, 5, 6, 7, 12, 40, 140}) {
    for (const size_t count : {0, 1, 3, 15, 16, 63, 64, 65, 127, 200, 1031}) {
      for (const bool deep : {false, true}) {
        for (const Stores stores : {Stores::kCached, Stores::kStreaming}) {
          for (const bool in_place : {false, true}) {
            ExpectAnyOrder<float>(inputs, deep, count, stores, in_place, random);
            ExpectAnyOrder<double>(inputs, deep, count, stores, in_place, random);
          }
        }
      }
    }
  }
}

TEST(ReduceTest, OutputMayBeAnInput) {
  for (int inputs : {2, 3, 4, 8}) {
    std::vector<std::vector<float>> in;
    std::vector<const void*> pointers;
    for (int k = 0; k < inputs; ++k) in.push_back(Values(k, 3001));
    for (const auto& one : in) pointers.push_back(one.data());
    std::vector<float> want(3001);
    const ReduceProgram program(inputs, BalancedSteps(inputs), ReduceOp::kSum, DType::kF32);
    program.Run(pointers.data(), want.data(), 3001);
    program.Run(pointers.data(), in[inputs - 1].data(), 3001);
    EXPECT_EQ(in[inputs - 1], want);
  }
}

// Denormals flush in every thread alike, so a sum's bits do not depend on who computes it.
TEST(ReduceTest, DenormalsDoNotDependOnTheCaller) {
  const float tiny = std::numeric_limits<float>::denorm_min() * 1000;
  const void* const in[] = {&tiny, &tiny};
  const ReduceProgram program(2, BalancedSteps(2), ReduceOp::kSum, DType::kF32);
  float here = 1, there = 1;
  program.Run(in, &here, 1);
  {
    const LaneArithmetic modes;
    program.Run(in, &there, 1);
  }
  EXPECT_EQ(std::memcmp(&here, &there, sizeof here), 0);
}

TEST(ReduceTest, HalvesAreSummedInFp32AndRoundedOnce) {
  // 1 + three halves of an ulp of bf16 (2^-8 each): rounding at every step would lose them all.
  std::vector<BFloat16> in(4);
  FromFloat(1.0f, in[0]);
  for (int k = 1; k < 4; ++k) FromFloat(0.00390625f, in[k]);
  const void* const pointers[] = {&in[0], &in[1], &in[2], &in[3]};
  BFloat16 out;
  ReduceProgram(4, BalancedSteps(4), ReduceOp::kSum, DType::kBF16).Run(pointers, &out, 1);
  BFloat16 want;
  FromFloat(1.01171875f, want);
  EXPECT_EQ(out.bits, want.bits);
}

TEST(HalfTest, EveryHalfSurvivesTheWayToFp32AndBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const Float16 half{static_cast<uint16_t>(bits)};
    const BFloat16 brain{static_cast<uint16_t>(bits)};
    Float16 half_back;
    BFloat16 brain_back;
    FromFloat(ToFloat(half), half_back);
    FromFloat(ToFloat(brain), brain_back);
    if (std::isnan(ToFloat(half))) {
      EXPECT_TRUE(std::isnan(ToFloat(half_back)));
    } else {
      EXPECT_EQ(half_back.bits, half.bits);
    }
    if (std::isnan(ToFloat(brain))) {
      EXPECT_TRUE(std::isnan(ToFloat(brain_back)));
    } else {
      EXPECT_EQ(brain_back.bits, brain.bits);
    }
  }
}

TEST(HalfTest, RoundsToNearestEven) {
  const auto half = [](float value) {
    Float16 out;
    FromFloat(value, out);
    return ToFloat(out);
  };
  EXPECT_EQ(half(2049), 2048);  // a tie, to even
  EXPECT_EQ(half(2051), 2052);
  EXPECT_EQ(half(65519), 65504);
  EXPECT_EQ(half(65520), INFINITY);
  EXPECT_EQ(half(std::ldexp(1.0f, -25)), 0);  // half of the least subnormal: a tie, to even
  EXPECT_EQ(half(std::ldexp(1.5f, -25)), std::ldexp(1.0f, -24));
  EXPECT_EQ(half(-std::ldexp(3.0f, -25)), -std::ldexp(2.0f, -24));
}

TEST(CopyTest, CopiesEveryByteAtAnyAlignment) {
  std::vector<uint8_t> from(5000), to(5100);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(i * 7);
  for (size_t offset : {0, 1, 13, 63}) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{70}, size_t{4096}, size_t{4900}}) {
      for (Stores stores : {Stores::kCached, Stores::kStreaming}) {
        std::fill(to.begin(), to.end(), 0xee);
        CopyBytes(to.data() + offset, from.data() + 3, size, stores);
        EXPECT_EQ(std::memcmp(to.data() + offset, from.data() + 3, size), 0);
        EXPECT_EQ(to[offset + size], 0xee);
      }
    }
  }
}

// The vector code against the definition (comm/reduce/half.h): all 2^16 patterns one way; the other way all
// patterns of the bits that are kept with the ones behind them at the edges of rounding.
template <typename Half>
void ExpectPacksAs(Wire wire, int dropped_bits) {
  std::vector<uint16_t> patterns(1 << 16);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  std::vector<float> values(patterns.size());
  UnpackFrom(wire, patterns.data(), values.data(), patterns.size());
  for (size_t i = 0; i < patterns.size(); ++i) {
    const float want = ToFloat(Half{patterns[i]});
    ASSERT_EQ(std::memcmp(&values[i], &want, sizeof want), 0) << i;
  }
  const uint32_t half_way = 1u << (dropped_bits - 1);
  std::vector<float> in;
  for (uint32_t kept = 0; kept < (1u << (32 - dropped_bits)); ++kept) {
    for (const uint32_t rest : {0u, 1u, half_way - 1, half_way, half_way + 1, 2 * half_way - 1}) {
      in.push_back(std::bit_cast<float>((kept << dropped_bits) | rest));
    }
  }
  std::vector<uint16_t> out(in.size());
  PackTo(wire, in.data(), out.data(), in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    Half want;
    FromFloat(in[i], want);
    ASSERT_EQ(out[i], want.bits) << std::bit_cast<uint32_t>(in[i]);
  }
}
TEST(WireTest, BFloat16) { ExpectPacksAs<BFloat16>(Wire::kBF16, 16); }
TEST(WireTest, Float16) { ExpectPacksAs<Float16>(Wire::kF16, 13); }

// What does not fill a vector is converted as the rest is: the bits of an element do not depend on its place.
TEST(WireTest, AnElementsPlaceChangesNoBit) {
  for (const Wire wire : {Wire::kBF16, Wire::kF16}) {
    std::vector<float> in;
    for (uint32_t bits = 0; bits < 0x7f900000u; bits += 0x9e37 * 7) in.push_back(std::bit_cast<float>(bits));
    std::vector<uint16_t> whole(in.size()), cut(in.size());
    PackTo(wire, in.data(), whole.data(), in.size());
    std::vector<float> whole_back(in.size()), cut_back(in.size());
    UnpackFrom(wire, whole.data(), whole_back.data(), in.size());
    for (const size_t step : {1, 3, 7}) {
      for (size_t i = 0; i < in.size(); i += step) {
        const size_t count = std::min(step, in.size() - i);
        PackTo(wire, &in[i], &cut[i], count);
        UnpackFrom(wire, &cut[i], &cut_back[i], count);
      }
      EXPECT_EQ(cut, whole);
      EXPECT_EQ(std::memcmp(cut_back.data(), whole_back.data(), in.size() * sizeof(float)), 0);
    }
  }
}

TEST(WireTest, RoundsEveryInputAndSum) {
  const float a = 1 + 0x1p-9f, b = 256;  // neither a nor a + b is a bfloat16
  const void* const in[] = {&a, &b};
  float out;
  ReduceProgram(2, {{0, 1}}, ReduceOp::kSum, DType::kF32, 1, Wire::kBF16).Run(in, &out, 1);
  EXPECT_EQ(out, 256);  // 1 + 256, to even
  ReduceProgram(1, {}, ReduceOp::kSum, DType::kF32, 1, Wire::kBF16).Run(in, &out, 1);
  EXPECT_EQ(out, 1);
}

}  // namespace
}  // namespace lockstep::comm
