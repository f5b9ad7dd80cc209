// The values that the benchmark puts in, and those that must come out. Internal to comm/bench.
//
// Inputs repeat a table of kPeriod values (a prime, so that data that arrives shifted is noticed), whose
// reduction over any number of ranks is known exactly in every type: integers of any bits, since sums and
// products that wrap around are exact modulo 2^n; small whole numbers of both signs as floats.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_VALUES_H_
#define LOCKSTEP_COMM_BENCH_BENCH_VALUES_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "comm/bench/bench_case.h"
#include "comm/reduce/half.h"
#include "comm/reduce/reduce.h"

namespace lockstep::comm {

inline constexpr size_t kPeriod = 1021;

// Of floats: element i (of the table) of what rank (or lane) `rank` of `ranks` puts in, and of the reduction
// over all, before the division of kAvg.
int64_t InputNumber(const BenchPoint& point, int rank, int ranks, size_t i);
int64_t ReducedNumber(const BenchPoint& point, int ranks, size_t i);
// Of integers: the same, of which an element takes the lowest bits.
uint64_t InputBits(const BenchPoint& point, int rank, size_t i);

// number / divisor as the reduction computes it: in the type, or in fp32 for 16-bit floats, and rounded to
// what travels.
template <typename T>
T FloatElement(const BenchPoint& point, int64_t number, int divisor) {
  if constexpr (sizeof(T) == 2) {
    T out;
    FromFloat(static_cast<float>(number) / static_cast<float>(divisor), out);
    return out;
  } else {
    T value = static_cast<T>(number) / static_cast<T>(divisor);
    if constexpr (std::is_same_v<T, float>) {
      if (point.wire != Wire::kFull) RoundTo(point.wire, &value, &value, 1);
    }
    return value;
  }
}

template <typename T>
T InputValue(const BenchPoint& point, int rank, int ranks, size_t i) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(InputBits(point, rank, i));
  } else {
    return FloatElement<T>(point, InputNumber(point, rank, ranks, i), 1);
  }
}

template <typename T>
T ReducedValue(const BenchPoint& point, int ranks, size_t i) {
  const int divisor = point.op == ReduceOp::kAvg ? ranks : 1;
  if constexpr (!std::is_integral_v<T>) {
    return FloatElement<T>(point, ReducedNumber(point, ranks, i), divisor);
  } else {
    uint64_t wrapped = InputBits(point, 0, i);
    T least = static_cast<T>(wrapped), greatest = least;
    for (int rank = 1; rank < ranks; ++rank) {
      const uint64_t bits = InputBits(point, rank, i);
      wrapped = point.op == ReduceOp::kProd ? wrapped * bits : wrapped + bits;
      least = std::min(least, static_cast<T>(bits));
      greatest = std::max(greatest, static_cast<T>(bits));
    }
    if (point.op == ReduceOp::kMin) return least;
    if (point.op == ReduceOp::kMax) return greatest;
    const T value = static_cast<T>(wrapped);
    if (divisor == 1) return value;
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    return static_cast<T>(static_cast<Wide>(value) / static_cast<Wide>(divisor));
  }
}

// The sum of the inputs of some lanes: a part of reduce_lanes.
template <typename T>
T LanesValue(const BenchPoint& point, LaneRange lanes, size_t i) {
  int64_t sum = 0;
  for (int lane = lanes.begin; lane < lanes.end; ++lane) sum += InputNumber(point, lane, point.lanes, i);
  return static_cast<T>(sum);
}
template <>
inline Float16 LanesValue(const BenchPoint&, LaneRange, size_t) {
  return {};  // lanes are F32 or F64
}
template <>
inline BFloat16 LanesValue(const BenchPoint&, LaneRange, size_t) {
  return {};
}

// Calls f with a null pointer of the element type.
template <typename F>
auto WithType(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kU8:
      return f(static_cast<uint8_t*>(nullptr));
    case DType::kI8:
      return f(static_cast<int8_t*>(nullptr));
    case DType::kI32:
      return f(static_cast<int32_t*>(nullptr));
    case DType::kU32:
      return f(static_cast<uint32_t*>(nullptr));
    case DType::kI64:
      return f(static_cast<int64_t*>(nullptr));
    case DType::kU64:
      return f(static_cast<uint64_t*>(nullptr));
    case DType::kF16:
      return f(static_cast<Float16*>(nullptr));
    case DType::kBF16:
      return f(static_cast<BFloat16*>(nullptr));
    case DType::kF64:
      return f(static_cast<double*>(nullptr));
    case DType::kF32:
      break;
  }
  return f(static_cast<float*>(nullptr));
}

// Repeats `table`, beginning at its element phase % kPeriod, over `count` elements at `to`.
template <typename T>
void FillFrom(const std::vector<T>& table, size_t phase, T* to, size_t count) {
  for (size_t i = 0, at = phase % kPeriod; i < count; at = 0) {
    const size_t n = std::min(kPeriod - at, count - i);
    CopyBytes(to + i, table.data() + at, n * sizeof(T));  // into the caches, as a step's results are
    i += n;
  }
}

template <typename T>
uint64_t CountDifferences(const std::vector<T>& table, size_t phase, const T* got, size_t count) {
  uint64_t wrong = 0;
  for (size_t i = 0, at = phase % kPeriod; i < count; at = 0) {
    const size_t n = std::min(kPeriod - at, count - i);
    if (std::memcmp(got + i, table.data() + at, n * sizeof(T)) != 0) {
      for (size_t k = 0; k < n; ++k)
        wrong += std::memcmp(got + i + k, &table[at + k], sizeof(T)) != 0 ? 1 : 0;
    }
    i += n;
  }
  return wrong;
}

template <typename T, typename Value>
std::vector<T> Table(const Value& value) {
  std::vector<T> table(kPeriod);
  for (size_t i = 0; i < kPeriod; ++i) table[i] = value(i);
  return table;
}

// What one part of an output must hold: `count` elements at `begin`, the values of `source` from its element
// `phase` on.
struct Piece {
  size_t begin, count;
  int source;  // rank; -1: the reduction over all
  size_t phase;
};

std::vector<Piece> ExpectedPieces(const BenchPoint& point, int rank, int ranks);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_VALUES_H_
