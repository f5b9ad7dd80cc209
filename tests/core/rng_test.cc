#include "runtime/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lockstep {
namespace {

// Known answers of Philox4x32-10 from the authors' Random123 distribution (kat_vectors).
TEST(RngTest, PhiloxGivesThePublishedNumbers) {
  EXPECT_EQ(Philox(0, 0, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RngTest, AFillIsAFunctionOfKeyAndIndexAlone) {
  std::vector<float> all(103), head(40);
  FillNormal(7, 0, 1, absl::MakeSpan(all));
  FillNormal(7, 0, 1, absl::MakeSpan(head));
  for (size_t i = 0; i < head.size(); ++i) EXPECT_EQ(all[i], head[i]) << i;
  FillUniform(7, -2, 3, absl::MakeSpan(all));
  for (float x : all) {
    EXPECT_GE(x, -2);
    EXPECT_LT(x, 3);
  }
}

TEST(RngTest, NormalNumbersHaveTheirMeanAndDeviation) {
  std::vector<float> x(200000);
  FillNormal(DeriveKey(3, "test"), 1, 2, absl::MakeSpan(x));
  double sum = 0, squares = 0;
  for (float v : x) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const double mean = sum / x.size();
  EXPECT_NEAR(mean, 1, 0.02);  // over four standard errors
  EXPECT_NEAR(std::sqrt(squares / x.size() - mean * mean), 2, 0.02);
}

TEST(RngTest, PurposesHaveStreamsOfTheirOwn) {
  EXPECT_NE(DeriveKey(1, "a"), DeriveKey(1, "b"));
  EXPECT_NE(DeriveKey(1, "a"), DeriveKey(2, "a"));
  EXPECT_NE(DeriveKey(1, "ab"), DeriveKey(1, "a"));
}

}  // namespace
}  // namespace lockstep
