#include "comm/reduce/sum_kernels.h"

#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/reduce/sum_kernels.cc"
#include "hwy/foreach_target.h"  // compiles this file once for each instruction set
//
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::comm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The balanced sum of N inputs at element i. D may be a vector or a one-element tag: the tail gets the same
// operations.
template <int N, class D, typename T>
HWY_INLINE hn::Vec<D> Tree(D d, const T* const* in, size_t i) {
  if constexpr (N == 1) {
    return hn::LoadU(d, in[0] + i);
  } else {
    return hn::Add(Tree<N / 2>(d, in, i), Tree<N / 2>(d, in + N / 2, i));
  }
}

template <int N, typename T>
void Sum(const T* const* in, T* out, size_t count, bool stream) {
  const T* local[N];
  for (int k = 0; k < N; ++k) local[k] = in[k];
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (stream) {
    const size_t vector_bytes = lanes * sizeof(T);
    while (i < count && reinterpret_cast<uintptr_t>(out + i) % vector_bytes != 0) {
      hn::StoreU(Tree<N>(one, local, i), one, out + i);
      ++i;
    }
    for (; i + lanes <= count; i += lanes) hn::Stream(Tree<N>(d, local, i), d, out + i);
  } else {
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
      const auto low = Tree<N>(d, local, i);
      const auto high = Tree<N>(d, local, i + lanes);
      hn::StoreU(low, d, out + i);
      hn::StoreU(high, d, out + i + lanes);
    }
    for (; i + lanes <= count; i += lanes) hn::StoreU(Tree<N>(d, local, i), d, out + i);
  }
  for (; i < count; ++i) hn::StoreU(Tree<N>(one, local, i), one, out + i);
}

template <typename T>
void SumAny(const T* const* in, int inputs, T* out, size_t count, bool stream) {
  if (inputs == 2) Sum<2>(in, out, count, stream);
  if (inputs == 4) Sum<4>(in, out, count, stream);
  if (inputs == 8) Sum<8>(in, out, count, stream);
}

void SumFloat(const float* const* in, int inputs, float* out, size_t count, bool stream) {
  SumAny(in, inputs, out, count, stream);
}
void SumDouble(const double* const* in, int inputs, double* out, size_t count, bool stream) {
  SumAny(in, inputs, out, count, stream);
}

// One loop for both kinds of stores: `kStream` goes around the caches and needs aligned vectors.
template <bool kStream>
void CopyVectors(uint8_t* to, const uint8_t* from, size_t size_bytes) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  const size_t misaligned = reinterpret_cast<uintptr_t>(to) % lanes;
  size_t i = misaligned == 0 ? 0 : lanes - misaligned;
  if (i > size_bytes) i = size_bytes;
  std::memcpy(to, from, i);
  for (; i + 4 * lanes <= size_bytes; i += 4 * lanes) {
    const auto v0 = hn::LoadU(d, from + i);
    const auto v1 = hn::LoadU(d, from + i + lanes);
    const auto v2 = hn::LoadU(d, from + i + 2 * lanes);
    const auto v3 = hn::LoadU(d, from + i + 3 * lanes);
    if constexpr (kStream) {
      hn::Stream(v0, d, to + i);
      hn::Stream(v1, d, to + i + lanes);
      hn::Stream(v2, d, to + i + 2 * lanes);
      hn::Stream(v3, d, to + i + 3 * lanes);
    } else {
      hn::StoreU(v0, d, to + i);
      hn::StoreU(v1, d, to + i + lanes);
      hn::StoreU(v2, d, to + i + 2 * lanes);
      hn::StoreU(v3, d, to + i + 3 * lanes);
    }
  }
  for (; i + lanes <= size_bytes; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < size_bytes) std::memcpy(to + i, from + i, size_bytes - i);
}

void CopyAround(uint8_t* to, const uint8_t* from, size_t size_bytes) {
  CopyVectors<true>(to, from, size_bytes);
}
void CopyThrough(uint8_t* to, const uint8_t* from, size_t size_bytes) {
  CopyVectors<false>(to, from, size_bytes);
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep::comm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::comm {

HWY_EXPORT(SumFloat);
HWY_EXPORT(SumDouble);
HWY_EXPORT(CopyAround);
HWY_EXPORT(CopyThrough);

void SumBalanced(const float* const* in, int inputs, float* out, size_t count, bool stream) {
  HWY_DYNAMIC_DISPATCH(SumFloat)(in, inputs, out, count, stream);
}
void SumBalanced(const double* const* in, int inputs, double* out, size_t count, bool stream) {
  HWY_DYNAMIC_DISPATCH(SumDouble)(in, inputs, out, count, stream);
}
void StreamCopy(void* to, const void* from, size_t size_bytes) {
  HWY_DYNAMIC_DISPATCH(CopyAround)(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), size_bytes);
}
void CachedCopy(void* to, const void* from, size_t size_bytes) {
  HWY_DYNAMIC_DISPATCH(CopyThrough)(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), size_bytes);
}
void FenceStreams() { hwy::FlushStream(); }

}  // namespace lockstep::comm
#endif  // HWY_ONCE
