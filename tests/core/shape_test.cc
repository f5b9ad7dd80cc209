#include "runtime/core/shape.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "runtime/core/dtype.h"

namespace lockstep {
namespace {

TEST(ShapeTest, CountsElementsAndIndexesFromBothEnds) {
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.NumElements(), 24);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape.ToString(), "[2, 3, 4]");
  EXPECT_EQ(Shape().NumElements(), 1);
  EXPECT_EQ(Shape({0, 5}).NumElements(), 0);
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
}

TEST(ShapeTest, DimensionsFromOutsideAreChecked) {
  EXPECT_TRUE(Shape::FromDims({}).ok());
  EXPECT_TRUE(Shape::FromDims({int64_t{1} << 62}).ok());
  EXPECT_FALSE(Shape::FromDims({-1}).ok());
  EXPECT_FALSE(Shape::FromDims({int64_t{1} << 32, int64_t{1} << 32}).ok());
  EXPECT_FALSE(Shape::FromDims({0, int64_t{1} << 62, 4}).ok()) << "a zero must not hide an overflow";
  EXPECT_FALSE(Shape::FromDims(std::vector<int64_t>(9, 1)).ok());
}

TEST(DTypeTest, NamesAreThoseOfSafetensors) {
  for (DType dtype : {DType::kU8, DType::kI8, DType::kI32, DType::kU32, DType::kI64, DType::kU64, DType::kF16,
                      DType::kBF16, DType::kF32, DType::kF64}) {
    EXPECT_EQ(*DTypeFromName(NameOf(dtype)), dtype);
  }
  EXPECT_EQ(SizeOf(DType::kBF16), 2);
  EXPECT_EQ(SizeOf(DType::kI64), 8);
  EXPECT_FALSE(DTypeFromName("float").ok());
}

}  // namespace
}  // namespace lockstep
