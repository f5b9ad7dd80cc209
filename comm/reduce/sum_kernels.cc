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

constexpr size_t kGroup = 64;  // elements

// Where an operand of the group that begins at element i lies: an input's moves along with i (all bits set), a
// scratch place stays (none).
template <typename T>
struct Place {
  T* base;
  size_t moves;
  T* At(size_t i) const { return base + (i & moves); }
};

template <typename T>
struct PlacedStep {
  Place<const T> left, right;
  Place<T> to;
};

// Elements i .. i + n - 1, which are in one group; n is a multiple of the vectors' length.
template <class D, typename T>
HWY_INLINE void RunGroup(D d, const PlacedStep<T>* steps, size_t n_steps, size_t i, size_t n, bool stream) {
  const size_t lanes = hn::Lanes(d);
  for (size_t s = 0; s < n_steps; ++s) {
    const T *const left = steps[s].left.At(i), *const right = steps[s].right.At(i);
    T* const to = steps[s].to.At(i);
    if (stream && s + 1 == n_steps) {
      for (size_t j = 0; j < n; j += lanes)
        hn::Stream(hn::Add(hn::LoadU(d, left + j), hn::LoadU(d, right + j)), d, to + j);
    } else {
      for (size_t j = 0; j < n; j += lanes)
        hn::StoreU(hn::Add(hn::LoadU(d, left + j), hn::LoadU(d, right + j)), d, to + j);
    }
  }
}

template <typename T>
void SumSteps(const T* const* in, const SumStep* steps, size_t n_steps, T* out, size_t count, bool stream) {
  HWY_ALIGN T scratch[kSumScratchPlaces * kGroup];
  PlacedStep<T> placed[kSumMostSteps];
  const auto operand = [&](int code) -> Place<const T> {
    return code >= 0 ? Place<const T>{in[code], ~size_t{0}}
                     : Place<const T>{scratch + static_cast<size_t>(~code) * kGroup, 0};
  };
  for (size_t s = 0; s < n_steps; ++s) {
    T* const to = s + 1 == n_steps ? out : scratch + static_cast<size_t>(~steps[s].to) * kGroup;
    placed[s] = {operand(steps[s].left), operand(steps[s].right), {to, s + 1 == n_steps ? ~size_t{0} : 0}};
  }
  const hn::CappedTag<T, kGroup> d;
  const hn::CappedTag<T, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  const auto singly = [&](size_t end) {
    for (; i < end; ++i) RunGroup(one, placed, n_steps, i, 1, false);
  };
  // Stores around the caches want aligned vectors.
  const size_t misaligned = reinterpret_cast<uintptr_t>(out) / sizeof(T) % lanes;
  if (misaligned != 0) singly(HWY_MIN(count, lanes - misaligned));
  for (; i + kGroup <= count; i += kGroup) RunGroup(d, placed, n_steps, i, kGroup, stream);
  const size_t whole = i + (count - i) / lanes * lanes;
  if (whole > i) RunGroup(d, placed, n_steps, i, whole - i, stream);
  i = whole;
  singly(count);
}

void SumStepsFloat(const float* const* in, const SumStep* steps, size_t n_steps, float* out, size_t count,
                   bool stream) {
  SumSteps(in, steps, n_steps, out, count, stream);
}
void SumStepsDouble(const double* const* in, const SumStep* steps, size_t n_steps, double* out, size_t count,
                    bool stream) {
  SumSteps(in, steps, n_steps, out, count, stream);
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
HWY_EXPORT(SumStepsFloat);
HWY_EXPORT(SumStepsDouble);
HWY_EXPORT(CopyAround);
HWY_EXPORT(CopyThrough);

void SumBalanced(const float* const* in, int inputs, float* out, size_t count, bool stream) {
  HWY_DYNAMIC_DISPATCH(SumFloat)(in, inputs, out, count, stream);
}
void SumBalanced(const double* const* in, int inputs, double* out, size_t count, bool stream) {
  HWY_DYNAMIC_DISPATCH(SumDouble)(in, inputs, out, count, stream);
}
void SumInOrder(const float* const* in, absl::Span<const SumStep> steps, float* out, size_t count,
                bool stream) {
  HWY_DYNAMIC_DISPATCH(SumStepsFloat)(in, steps.data(), steps.size(), out, count, stream);
}
void SumInOrder(const double* const* in, absl::Span<const SumStep> steps, double* out, size_t count,
                bool stream) {
  HWY_DYNAMIC_DISPATCH(SumStepsDouble)(in, steps.data(), steps.size(), out, count, stream);
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
