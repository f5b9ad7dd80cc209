// Runs an elementwise program (kernels/program.h) over a range of elements, tile by tile.
#ifndef LOCKSTEP_KERNELS_CPU_TILE_PROGRAM_H_
#define LOCKSTEP_KERNELS_CPU_TILE_PROGRAM_H_

#include <vector>

#include "kernels/cpu/function_kernel.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {

// Immutable once made; Run may be called from several threads with different scratch.
class TileProgram {
 public:
  // `inputs` are the types that kLoad names, already checked by InferOutputs.
  static absl::StatusOr<TileProgram> Make(const Program& program, absl::Span<const TensorType> inputs,
                                          const Shape& full);

  struct Tensors {
    const void* const* inputs;
    const float* result;  // what kResult gives for elements begin .. end - 1; may be null without kResult
    void* const* outputs;
    bool accumulate;
    const RunContext* context;
  };

  size_t scratch_bytes() const { return scratch_bytes_; }
  // Fills what repeats from tile to tile. Once before the Runs of one KernelArgs, with the same scratch.
  void Prepare(const Tensors& tensors, std::byte* scratch) const;
  void Run(const Tensors& tensors, int64_t begin, int64_t end, std::byte* scratch) const;

 private:
  enum class Source : uint8_t { kComputed, kDirect, kResult, kPattern, kPeriod, kRuns, kConverted };

  // One value of the program and where it comes from.
  struct Value {
    Source source = Source::kComputed;
    DType dtype = DType::kF32;
    int input = 0;
    int64_t period =
        0;  // kPeriod: elements after which the input repeats; kRuns: elements that one of its covers
    int64_t count = 0;       // kPattern: elements of the input (1 for constants)
    size_t buffer = 0;       // floats into scratch: its register or pattern
    int direct_output = -1;  // computed straight into this output when not accumulating
    bool is_output = false;
    Instruction instruction{};
    TileFunction function = nullptr;
  };

  absl::Status AddLoad(const Instruction& instruction, absl::Span<const TensorType> inputs,
                       const Shape& full);
  void ChooseTile();
  void AssignBuffers();
  void ChooseDirectOutputs();
  const float* LoadTile(const Value& value, const Tensors& tensors, int64_t begin, int64_t first,
                        int64_t count, float* scratch) const;
  void RunTile(const Tensors& tensors, int64_t begin, int64_t first, int64_t count, float* scratch) const;
  void RunDropout(const Value& value, const RunContext& context, const float* a, float* result, int64_t first,
                  int64_t count) const;

  std::vector<Value> values_;
  std::vector<uint16_t> outputs_;
  int64_t elements_ = 0;
  int64_t tile_ = 0;  // elements; tiles begin at its multiples
  size_t scratch_bytes_ = 0;
};

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_TILE_PROGRAM_H_
