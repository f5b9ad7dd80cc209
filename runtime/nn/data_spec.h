// What the data gives a model: one input and one label a sample, and more where the data has it.
#ifndef LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_
#define LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/core/tensor_type.h"

namespace lockstep::nn {

struct FieldSpec {
  std::string name;  // of the graph's input: the feature's name for records
  TensorType type;   // shape without the micro-batch
};

// Ids of a table's categories: slots [first, first + slots) of the input "columns.ids", each with a weight in
// "columns.weights" (0: an empty slot).
struct TableSpec {
  std::string name;
  int64_t first = 0, slots = 1;
  int64_t rows = 0;   // ids are in [0, rows)
  int64_t width = 0;  // of a row that goes into the network; 0: rows are added to the network's output
};

struct DataSpec {
  FieldSpec input;                     // images F32 [H, W, C], rows F32 [n], token ids I32 or I64 [T]
  FieldSpec label;                     // class ids I32 or I64 [..] or a float target
  int64_t classes = 0;                 // labels are in [0, classes); 0: not classes, or not known
  int64_t vocabulary = 0;              // > 0: the input holds ids in [0, vocabulary)
  std::vector<FieldSpec> extra = {};   // more inputs, which a model may ask for by name
  std::vector<TableSpec> tables = {};  // then `extra` has "columns.ids" and "columns.weights"
  // `extra` has "LABEL.other", a second class id, and "LABEL.share", F32: the loss is share times that of
  // the label and 1 - share times that of the other.
  bool mixed = false;
  std::string mask = {};  // of `extra`, U8 of the label's shape: 0 where a label does not count; "": all do
};

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_DATA_SPEC_H_
