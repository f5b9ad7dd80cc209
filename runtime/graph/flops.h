// Arithmetic of an operator.
#ifndef LOCKSTEP_RUNTIME_GRAPH_FLOPS_H_
#define LOCKSTEP_RUNTIME_GRAPH_FLOPS_H_

#include "kernels/ops.h"

namespace lockstep::graph {

// Multiplications and additions (two a multiply-add) of matrix products, convolutions and attention; 0 for
// operators that memory bounds. Causal attention counts half the scores.
double FlopsOf(const kernels::OpSpec& spec);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_FLOPS_H_
