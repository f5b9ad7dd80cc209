// The state of compression in checkpoints: what every rank has left unsent, and what all ranks share.
//
// Rank 0 writes checkpoints, so the error memories of all ranks are gathered there. They are tensors of the
// optimizer's file: "compression.error.<rank>.<parameter>", in the parameter's shape, and
// "compression.<name>" for the shared ones. Resumed by as many ranks, every memory goes back to its rank,
// and the run goes on bit for bit. Resumed by another number of ranks, an old rank's memory goes to the
// rank that stands in its place in the order of lanes, rank * new / old rounded down, and memories that
// meet are added in the order of ranks: so what was left unsent stays in the sum, as error feedback needs,
// but (as UNORDERED says) bits are those of the new number of ranks.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSION_STATE_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSION_STATE_H_

#include <vector>

#include "comm/communicator.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/compression/compressor.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// A collective. On rank 0, adds the compressor's tensors to `out`; they are views of the compressor and of
// `gathered`, which keeps its memory from call to call (as many floats as all ranks' memories; on rank 0
// alone).
absl::Status AppendCompressionState(comm::Communicator& communicator, const Compressor& compressor,
                                    AlignedBuffer<float>* gathered, std::vector<NamedTensor>* out);

// A collective. `checkpoint` counts on rank 0; null: the run begins, and nothing changes. Says in the log
// what could not be restored as it was. Error: CheckpointError for a tensor of another shape.
absl::Status RestoreCompressionState(comm::Communicator& communicator, const LoadedCheckpoint* checkpoint,
                                     const Compressor& compressor, Logger* log);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSION_STATE_H_
