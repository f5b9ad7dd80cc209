// What the data gives a model: one input and one label a sample.
#ifndef LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_
#define LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_

#include <cstdint>
#include <string>

#include "runtime/core/tensor_type.h"

namespace lockstep::nn {

struct FieldSpec {
  std::string name;  // of the graph's input: the feature's name for records
  TensorType type;   // shape without the micro-batch
};

struct DataSpec {
  FieldSpec input;         // images F32 [H, W, C], rows F32 [n], token ids I32 or I64 [T]
  FieldSpec label;         // class ids I32 or I64 [..] or a float target
  int64_t classes = 0;     // labels are in [0, classes); 0: not classes, or not known
  int64_t vocabulary = 0;  // > 0: the input holds ids in [0, vocabulary)
};

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_
