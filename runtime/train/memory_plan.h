// What a rank's memory goes to, known before it is allocated.
#ifndef LOCKSTEP_RUNTIME_TRAIN_MEMORY_PLAN_H_
#define LOCKSTEP_RUNTIME_TRAIN_MEMORY_PLAN_H_

#include <cstdint>
#include <string>

namespace lockstep::train {

// Bytes; padding included. Without what is small: records in decoding, the communicator's staging, the program.
struct RankMemory {
  int64_t parameters = 0;
  int64_t gradient_buffer = 0;  // one of them
  int gradient_buffers = 0;
  int64_t optimizer = 0;        // moments that this rank holds
  int64_t whole_optimizer = 0;  // that all ranks hold together, each once
  int64_t average = 0;          // of parameters (ema)
  int64_t unsent = 0;           // what compression keeps
  int64_t activations = 0;      // one thread's
  int threads = 1;
  bool sharded = false;
  bool mirrored = false;

  int64_t gradients() const { return gradient_buffer * gradient_buffers; }
  int64_t total() const {
    return parameters + gradients() + optimizer + average + unsent + activations * threads;
  }
};

// "memory of a rank: 174 MiB = parameters 41 + gradients 82 (2 buffers) + optimizer 41 of 82 (sharded) + activations
// 10". Shares that are nothing are left out.
std::string DescribeMemory(const RankMemory& memory);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_MEMORY_PLAN_H_
