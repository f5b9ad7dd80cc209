// The learned part of a table's columns: rows of tables that categories look up. What is not learned
// (numbers, one-hot) comes with the data.
#ifndef LOCKSTEP_RUNTIME_NN_COLUMNS_H_
#define LOCKSTEP_RUNTIME_NN_COLUMNS_H_

#include "runtime/graph/builder.h"
#include "runtime/nn/data_spec.h"

namespace lockstep::nn {

// The network's input: the data's input (declared here), and behind it the rows of each table of a width,
// summed by the slots' weights. Parameters columns.NAME.weight [rows, width] from N(0, 1 / width). Without
// tables just the input. `tables` becomes what AddLinearColumns needs.
struct TableInputs {
  graph::Tensor ids, weights;
};
graph::Tensor InputOf(graph::Builder& b, const DataSpec& data, TableInputs* tables);

// y [C] + for each table without a width the rows of its ids. Parameters linear.NAME.weight [rows, C], 0 at
// first.
graph::Tensor AddLinearColumns(graph::Builder& b, graph::Tensor y, const DataSpec& data,
                               const TableInputs& tables);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_COLUMNS_H_
